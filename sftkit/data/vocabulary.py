"""A model's tokenizer from its files (tokenizer.json, tokenizer_config.json), without transformers or torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, decoders

from sftkit.data.reading import is_hub_id
from sftkit.errors import DataError
from sftkit.wording import say

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


class Tokens(NamedTuple):
    """The tokens of a text: `ids` [n] int32, and the characters [`starts`, `ends`) [n] int64 that each stands for.

    A character of several tokens belongs to each of them.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer with its special tokens. `adds_bos`: the model wants its BOS once at the start of a text."""

    tokenizer: Tokenizer
    tokens: dict[str, str] = field(
        default_factory=dict
    )  # bos_token, eos_token, pad_token … as templates name them
    chat_template: str | None = None
    adds_bos: bool = False
    files: tuple[Path, ...] = ()

    @property
    def bos(self) -> str | None:
        return self.tokens.get("bos_token")

    @property
    def eos(self) -> str | None:
        return self.tokens.get("eos_token")

    def id(self, token: str | None) -> int | None:
        return None if token is None else self.tokenizer.token_to_id(token)

    def marks(self) -> list[str]:
        """Tokens that stand for themselves in a text (`<|im_end|>`, `</s>`), longest first."""
        named = {token for token in self.tokens.values() if self.id(token) is not None}
        return sorted(named | set(self.added.values()), key=len, reverse=True)

    @cached_property
    def added(self) -> dict[int, str]:
        """Tokens that are found in a text before any other, by their number."""
        return {number: token.content for number, token in self.tokenizer.get_added_tokens_decoder().items()}

    def tokenize(self, texts: list[str]) -> list[Tokens]:
        """The tokens of each text, and nothing added to them.

        The tokenizer is a third faster when it need not say where its tokens stand. Where every token of a text
        stands for bytes known beforehand, as with Llama 3, Qwen and GPT-2, their lengths say it as well.
        """
        if self._bytes is None:
            return [_told(one) for one in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        quick = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        found = [self._counted(text, np.array(one.ids, np.int32)) for text, one in zip(texts, quick)]
        rest = [number for number, tokens in enumerate(found) if tokens is None]
        slow = self.tokenizer.encode_batch([texts[number] for number in rest], add_special_tokens=False)
        for number, one in zip(rest, slow):
            found[number] = _told(one)
        return found

    @cached_property
    def _bytes(self) -> np.ndarray | None:
        """How many bytes of text each token stands for [ids] int64; None when that is not known beforehand."""
        if not isinstance(self.tokenizer.decoder, decoders.ByteLevel):
            return None
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        lengths = np.zeros(max(vocabulary.values(), default=0) + 1, np.int64)
        for token, number in vocabulary.items():  # one letter stands for one byte
            lengths[number] = len(token)
        for number, token in self.added.items():
            lengths[number] = len(token.encode())
        return lengths

    def _counted(self, text: str, ids: np.ndarray) -> Tokens | None:
        """Places by counting bytes; None when the tokens are not the text's bytes (it was normalized, blanks dropped)."""
        lengths = self._bytes[ids]
        ends = lengths.cumsum()
        raw = text.encode()
        if len(ids) == 0 or ends[-1] != len(raw):
            return None
        if self.tokenizer.normalizer is not None and self.tokenizer.normalizer.normalize_str(text) != text:
            return None
        starts = ends - lengths
        if len(raw) > len(text):  # from bytes to characters, by counting the bytes that begin one
            begun = ((np.frombuffer(raw, np.uint8) & 0xC0) != 0x80).cumsum()
            starts, ends = begun[starts] - 1, begun[ends - 1]
        return Tokens(ids, starts, ends)

    @classmethod
    def load(cls, pretrain: str | Path) -> Vocabulary:
        """The tokenizer of a model folder or hub id. Raises `DataError` when its files are not there."""
        found = {name: path for name in FILES if (path := _file(pretrain, name)) is not None}
        if "tokenizer.json" not in found:
            raise DataError(
                say(
                    "has no tokenizer.json. transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…) writes one."
                ),
                file=pretrain,
            )
        try:
            tokenizer = Tokenizer.from_file(str(found["tokenizer.json"]))
        except Exception as error:  # the library raises a bare Exception
            raise DataError(
                say("cannot be read: {error}", error=error), file=found["tokenizer.json"]
            ) from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        settings = _settings(found)
        tokens = {
            name: _content(value)
            for name, value in settings.items()
            if name.endswith("_token") and _content(value)
        }
        return cls(tokenizer, tokens, _template(settings, found), _adds_bos(tokenizer, tokens, settings), tuple(found.values()))  # fmt: skip


def _told(encoding: Any) -> Tokens:
    """Places as the tokenizer tells them."""
    places = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    return Tokens(np.array(encoding.ids, np.int32), places[:, 0], places[:, 1])


def _file(pretrain: str | Path, name: str) -> Path | None:
    folder = Path(pretrain)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if not is_hub_id(pretrain):
        raise DataError(say("no such model folder."), file=pretrain)
    import huggingface_hub  # only for hub ids

    try:
        return Path(huggingface_hub.hf_hub_download(str(pretrain), name))
    except huggingface_hub.errors.EntryNotFoundError as error:
        # Out of reach and not in the cache: the one file that must be there cannot be called absent.
        away = isinstance(error, huggingface_hub.errors.LocalEntryNotFoundError)
        if away and name == "tokenizer.json":
            raise DataError(
                say("could not be fetched from the hub: {error}", error=error), file=f"{pretrain}/{name}"
            ) from error
        return None
    except Exception as error:
        raise DataError(
            say("could not be fetched from the hub: {error}", error=error), file=f"{pretrain}/{name}"
        ) from error


def _settings(found: dict[str, Path]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the later one rules
        if name in found:
            try:
                loaded = json.loads(found[name].read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise DataError(say("is not JSON: {error}", error=error), file=found[name]) from None
            settings |= {key: value for key, value in loaded.items() if value is not None}
    return settings


def _content(value: Any) -> str | None:
    """A token's text; files hold it bare or as {"content": …}."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _template(settings: dict[str, Any], found: dict[str, Path]) -> str | None:
    if "chat_template.jinja" in found:
        return found["chat_template.jinja"].read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((item["template"] for item in template if item.get("name") == "default"), None)
    return template


def _adds_bos(tokenizer: Tokenizer, tokens: dict[str, str], settings: dict[str, Any]) -> bool:
    bos = tokens.get("bos_token")
    if bos is None:
        return False
    if isinstance(settings.get("add_bos_token"), bool):
        return settings["add_bos_token"]
    ids = tokenizer.encode("a").ids
    return bool(ids) and ids[0] == tokenizer.token_to_id(bos)
