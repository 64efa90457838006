"""What pydantic complains of, in the words of whoever typed the settings, with the nearest name or value that will do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from sftkit.errors import Fault
from sftkit.wording import as_it_is, say


def nearest(name: str, names: Any) -> str:
    """The words " Did you mean 'x'?" for the nearest of `names`, or nothing."""
    close = _close(name, names)
    return say("Did you mean {close!r}?", close=close) if close else ""


def _close(name: object, names: Any) -> str:
    return next(iter(difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)), "")


# What pydantic calls a fault -> what a user reads.
_WORDS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "{value!r} is no whole number."),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "{value!r} is no number."),
    **dict.fromkeys(("bool_parsing", "bool_type"), "{value!r} is neither true nor false."),
    "string_type": "{value!r} is no text.",
    "tuple_type": "{value!r} is no list.",
    "greater_than_equal": "{value!r} is too small: at least {ge}.",
    "greater_than": "{value!r} is too small: more than {gt}.",
    "less_than_equal": "{value!r} is too large: at most {le}.",
    "literal_error": "{value!r} is none of {expected}.",
}


def fault_of(detail: dict[str, Any], settings: Mapping[str, Any]) -> Fault:
    """One of pydantic's complaints about `settings` (name -> field) in the user's words."""
    field = ".".join(str(part) for part in detail["loc"])
    value = detail.get("input")
    if detail["type"] == "extra_forbidden":
        close = _close(field, settings)
        return Fault(field, say("there is no such setting."), nearest(field, settings), {close: value} if close else {})  # fmt: skip
    if detail["type"] == "missing":
        return Fault(field, say("is needed."), as_it_is(settings[field].description or ""))
    if detail["type"] == "string_too_short":
        return Fault(field, say("is empty."), as_it_is(settings[field].description or ""))
    context = detail.get("ctx", {})
    known = _WORDS.get(detail["type"])
    words = say(known, value=value, **context) if known else say("{value!r} will not do: {reason}.", value=value, reason=detail["msg"].lower())  # fmt: skip
    bound = next((context[kind] for kind in ("ge", "le") if kind in context), None)
    mend = {field: bound} if isinstance(bound, int) else {}  # of a rate's bounds nobody means one
    if close := _close(value, re.findall(r"'(.+?)'", str(context.get("expected", "")))):
        mend = {field: close}
    return Fault(field, words, mend=mend)
