"""Messages as people write them, to `{"role": "system" | "user" | "assistant", "content": text}`.

OpenAI      [{"role": "user", "content": "…"}, …], the content also in parts
ShareGPT    [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}, …]
by columns  {"role": ["user", …], "content": ["…", …]}, as Arrow files of older data sets hold them
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sftkit.errors import DataError
from sftkit.wording import say

Message = dict[str, str]
Fault = Callable[[str, str], DataError]  # (message, field) -> the error that names file and row

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model"), "assistant"),
}
TOOLS = frozenset("tool tools tool_call tool_response function function_call function_response observation ipython".split())  # fmt: skip
NO_TOOLS = say("calls of tools are not taught here: leave this row out, or write call and result as text.")
TEXT_PARTS = (None, "text", "input_text", "output_text")  # OpenAI's names, of requests and of responses
# A lone surrogate: what is left of an emoji cut in two in JSON's spelling.
_HALF = re.compile("[\ud800-\udfff]")


def as_turns(value: Any) -> list[Any] | None:
    """The turns in a column's value: a list, columns of a list, or either as JSON text; None for anything else."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        value = parsed(value)
    if isinstance(value, dict) and value and all(isinstance(part, list) for part in value.values()):
        value = [dict(zip(value, parts)) for parts in zip(*value.values())]
    return value if isinstance(value, list) else None


def holds_turns(value: Any) -> bool:
    """Whether a column's value is a conversation."""
    turns = as_turns(value)
    return bool(turns) and all(isinstance(turn, dict) for turn in turns)


def message(turn: Any, field: str, fault: Fault) -> Message:
    """One turn. Raises what `fault` makes of it where it cannot be taught."""
    turn = parsed(turn) if isinstance(turn, str) else turn
    if not isinstance(turn, dict) or not ("role" in turn or "from" in turn) or not ("content" in turn or "value" in turn):  # fmt: skip
        raise fault(say("each message needs 'role' and 'content' (or 'from' and 'value')."), field)
    said = turn.get("role") or turn.get("from")
    role = ROLES.get(str(said).lower())
    if str(said).lower() in TOOLS or turn.get("tool_calls") or turn.get("function_call"):
        raise fault(
            say(
                "has a message of role {said!r} that calls a tool or answers to one; {NO_TOOLS}",
                said=said,
                NO_TOOLS=NO_TOOLS,
            ),
            field,
        )
    if role is None:
        raise fault(say("role {said!r} is not system, user or assistant.", said=said), field)
    content = turn["content"] if turn.get("content") is not None else turn.get("value")
    if isinstance(content, list):
        content = "".join(_part(part, field, fault) for part in content)
    return {"role": role, "content": plain(content, field, fault)}


def earlier(value: Any, field: str, fault: Fault) -> list[Message]:
    """Alpaca's `history`, [[question, answer], …], as messages."""
    pairs = parsed(value) if isinstance(value, str) and value else value
    if not isinstance(pairs or [], list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs or []):
        raise fault(say("should be a list of [question, answer]."), field)
    return [
        {"role": role, "content": plain(text, field, fault)}
        for pair in pairs or []
        for role, text in zip(("user", "assistant"), pair)
    ]


def plain(value: Any, field: str, fault: Fault) -> str:
    """A value as text; nothing is empty text."""
    if value is None:
        return ""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = str(value)
        if found := _HALF.search(text):
            raise fault(
                say(
                    "holds half a character ({group!r}), which no tokenizer takes: mend the text.",
                    group=found.group(),
                ),
                field,
            )
        return text
    raise fault(say("should be text, is {kind}.", kind=type(value).__name__), field)


def parsed(text: str) -> Any:
    """What JSON text stands for, as CSV files have it; other text stays."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _part(part: Any, field: str, fault: Fault) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") not in TEXT_PARTS:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        raise fault(say("has a part of type {kind!r} in a message; only text is taught.", kind=kind), field)
    return str(part.get("text") or "")
