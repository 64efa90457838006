"""How a model is asked, and where its answer ends: the same while it is trained and when it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sftkit.data.templates import ChatTemplate
from sftkit.data.turns import Message
from sftkit.data.vocabulary import Vocabulary


def prompt_ids(messages: list[Message], vocabulary: Vocabulary, chat: ChatTemplate) -> list[int]:
    """The tokens that ask for the next answer. The template has written BOS where it belongs."""
    text = chat.render(messages, add_generation_prompt=True)
    return vocabulary.tokenizer.encode(text, add_special_tokens=False).ids


def end_tokens(named: int | Sequence[int] | None, vocabulary: Vocabulary, chat: ChatTemplate) -> set[int]:
    """Every token that ends an answer: the tokenizer's, the template's, and those that the model's files name."""
    listed = named if isinstance(named, (list, tuple)) else [named]
    ours = [vocabulary.id(vocabulary.eos), vocabulary.id(chat.end.strip())]
    return {token for token in [*listed, *ours] if token is not None}


def padding(vocabulary: Vocabulary, ends: set[int]) -> int:
    """The token that fills up the shorter prompts of a batch."""
    pad = vocabulary.id(vocabulary.tokens.get("pad_token"))
    return pad if pad is not None else min(ends, default=0)


def answer(new: list[int], ends: set[int], vocabulary: Vocabulary) -> dict[str, Any]:
    """Response text up to the end token. Without one it was cut by the limit, and says so."""
    end = next((place for place, token in enumerate(new) if token in ends), None)
    kept = new if end is None else new[:end]
    text = vocabulary.tokenizer.decode(kept, skip_special_tokens=True)
    return {
        "response": text.strip(),
        "finish_reason": "length" if end is None else "stop",
        "tokens": len(kept),
    }
