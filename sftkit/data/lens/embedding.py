"""Vectors of texts from an embedding model behind an OpenAI-compatible endpoint, for paraphrases and clusters.

    embed = Embedder("bge-m3", "http://localhost:8000/v1")
    print(embed.estimate(prompts))                       # calls and tokens, before the first one
    leaks(train, evals, embed=embed)

The key comes from the environment (`api_key_env`) and is written nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sftkit.data.lens.rows import told
from sftkit.errors import DataError
from sftkit.wording import say

CUT = 8000  # characters of a text that are sent
A_TOKEN = 4  # bytes, about


@dataclass(frozen=True)
class Embedder:
    """The embedding model `model` at `base_url` (None: OpenAI's). batch: texts a call."""

    model: str
    base_url: str | None = field(default=None, repr=False)  # it may hold a password
    api_key_env: str = "OPENAI_API_KEY"
    batch: int = 64
    timeout: float = 60.0
    progress: bool = True

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors [texts, size] float32. Raises `DataError` with the endpoint's words where it gives none."""
        sent = [text[:CUT].strip() or "-" for text in texts]  # an empty text is refused by most
        distinct = list(dict.fromkeys(sent))
        pieces = [distinct[first : first + self.batch] for first in range(0, len(distinct), self.batch)]
        client = self._client()
        found: dict[str, list[float]] = {}
        for piece in told(pieces, say("asking the embedding model"), self.progress, scale=self.batch):
            found |= zip(piece, self._asked(client, piece))
        return np.array([found[text] for text in sent], dtype=np.float32)

    def estimate(self, texts: Sequence[str]) -> str:
        """What asking for these texts takes, in a sentence."""
        distinct = {text[:CUT].strip() for text in texts}
        tokens = sum(len(text.encode("utf-8", "replace")) for text in distinct) // A_TOKEN
        calls = -(-len(distinct) // self.batch)
        return say("{calls:,} calls to {model} for {n:,} texts, about {tokens:,} tokens.", calls=calls, model=self.model, n=len(distinct), tokens=tokens)  # fmt: skip

    def _client(self):
        from openai import OpenAI

        key = os.environ.get(self.api_key_env, "")
        if not key and not self.base_url:
            raise DataError(say("the embedding model needs a key: set {name} in the environment.", name=self.api_key_env))  # fmt: skip
        return OpenAI(api_key=key or "none", base_url=self.base_url, timeout=self.timeout, max_retries=3)

    def _asked(self, client, texts: list[str]) -> list[list[float]]:
        import openai

        try:
            reply = client.embeddings.create(model=self.model, input=texts, encoding_format="float")
            vectors = [one.embedding for one in sorted(reply.data, key=lambda one: one.index)]
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            raise DataError(say("the embedding model {model} gave no vectors: {error}", model=self.model, error=self._hidden(error))) from None  # fmt: skip
        if len(vectors) != len(texts) or len(set(map(len, vectors))) != 1:
            raise DataError(say("the embedding model {model} gave {got} vectors for {n} texts.", model=self.model, got=len(vectors), n=len(texts)))  # fmt: skip
        return vectors

    def _hidden(self, error: Exception) -> str:
        """An endpoint's words without the key, should they repeat it."""
        key = os.environ.get(self.api_key_env, "")
        text = f"{type(error).__name__}: {error}"[:500]
        return text.replace(key, "***") if key else text
