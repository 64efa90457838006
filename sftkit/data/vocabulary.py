"""A model's tokenizer from its files (tokenizer.json, tokenizer_config.json), without transformers or torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sftkit.data.reading import is_hub_id
from sftkit.errors import DataError

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


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
        added = {token.content for token in self.tokenizer.get_added_tokens_decoder().values()}
        return sorted(added | set(self.tokens.values()), key=len, reverse=True)

    @classmethod
    def load(cls, pretrain: str | Path) -> Vocabulary:
        """The tokenizer of a model folder or hub id. Raises `DataError` when its files are not there."""
        found = {name: path for name in FILES if (path := _file(pretrain, name)) is not None}
        if "tokenizer.json" not in found:
            raise DataError(
                "has no tokenizer.json. transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…) writes one.",
                file=pretrain,
            )
        try:
            tokenizer = Tokenizer.from_file(str(found["tokenizer.json"]))
        except Exception as error:  # the library raises a bare Exception
            raise DataError(f"cannot be read: {error}", file=found["tokenizer.json"]) from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        settings = _settings(found)
        tokens = {
            name: _content(value)
            for name, value in settings.items()
            if name.endswith("_token") and _content(value)
        }
        return cls(tokenizer, tokens, _template(settings, found), _adds_bos(tokenizer, tokens, settings), tuple(found.values()))  # fmt: skip


def _file(pretrain: str | Path, name: str) -> Path | None:
    folder = Path(pretrain)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if not is_hub_id(pretrain):
        raise DataError("no such model folder.", file=pretrain)
    import huggingface_hub  # only for hub ids

    try:
        return Path(huggingface_hub.hf_hub_download(str(pretrain), name))
    except huggingface_hub.errors.EntryNotFoundError:
        return None
    except Exception as error:
        raise DataError(f"could not be fetched from the hub: {error}", file=f"{pretrain}/{name}") from error


def _settings(found: dict[str, Path]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the later one rules
        if name in found:
            try:
                loaded = json.loads(found[name].read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise DataError(f"is not JSON: {error}", file=found[name]) from None
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
