"""Jinja as transformers runs it for chat templates: sandboxed, since a template comes with a model from anywhere, and limited
in time and size (`template_limits.py`)."""

from __future__ import annotations

import datetime
import json
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext

from sftkit.data.template_limits import LimitedEnvironment, Spent, spent
from sftkit.errors import DataError
from sftkit.wording import say


def render(source: str, now: datetime.datetime, **given: Any) -> str:
    """The template filled in. `now` is what it takes for the time. Raises `DataError` with the template's words."""
    before = spent.set(Spent())
    try:
        return _compiled(source).render(strftime_now=now.strftime, **given)
    except Exception as error:  # it is a program that others wrote: it may fail in any way
        raise DataError(say("the chat template says: {error}", error=error)) from None
    finally:
        spent.reset(before)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`, with which some templates mark answers: the text in it is kept."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    environment = LimitedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.limit_filters()
    return environment.from_string(source)


def _tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:  # fmt: skip
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
