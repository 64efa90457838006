"""What a chat template may use up. It comes with a model from anywhere and is a program: jinja's sandbox keeps it away from
the machine, and this keeps it from running for ever or filling the memory, which would end the notebook's kernel.

A template pays for every turn of a loop, every call and every text that it writes; and what makes a long text out of a
short one ('a' * n, ljust, join, replace …) is measured before it is made. The limits lie far above any conversation.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

SECONDS = 10.0  # of the processor, for one conversation; an ordinary one takes less than a thousandth
LARGEST = 1 << 24  # characters of one text
WRITTEN = 1 << 25  # characters of all texts written for one conversation
PARTS = 1_000_000  # values in lists and dicts, at all depths together
BITS = 1 << 14  # of a whole number
WIDEST = 10_000  # characters of blanks, marks and the like that are put around or between
SOURCE = 1 << 18  # characters of a template; the longest of known models has 20,000
# What no chat needs, and what would be long to measure.
_GLOBALS, _NO_FILTERS = ("lipsum",), ("pprint", "urlize", "xmlattr")


class TooMuch(jinja2.TemplateError):
    """The template wants more than it may have."""


class Spent:
    """What one rendering has used up."""

    __slots__ = ("left", "times", "until")

    def __init__(self) -> None:
        self.left, self.times, self.until = WRITTEN, 0, 0.0

    def pay(self, characters: int) -> None:
        self.left -= characters
        self.times += 1
        if self.left < 0:
            raise TooMuch(f"it writes more than {WRITTEN:,} characters for one conversation")
        if not self.times % 16:  # an ordinary conversation is over before the first look at the clock
            now = time.thread_time()
            self.until = self.until or now + SECONDS
            if now > self.until:
                raise TooMuch(f"it runs for more than {SECONDS:.0f} seconds for one conversation")


# Of the rendering in hand. Whoever renders sets it; without one (a template is compiled) nothing is paid.
spent: ContextVar[Spent | None] = ContextVar("spent by a template", default=None)


def _pay(characters: int = 0) -> None:
    if (by := spent.get()) is not None:
        by.pay(characters)


def _room(size: int) -> None:
    if size > LARGEST:
        raise TooMuch(f"it makes a text or list of more than {LARGEST:,} parts")


def _weight(value: Any) -> int:
    """Characters and values in a value. A list may hold another twice and so on: it is the text of it that explodes."""
    if isinstance(value, str):
        return len(value)
    total, parts, waiting = 0, 0, [value]
    while waiting:
        one = waiting.pop()
        parts += 1
        if parts > PARTS:
            raise TooMuch(f"it makes a list of more than {PARTS:,} parts")
        if isinstance(one, (str, bytes)):
            total += len(one)
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one
        total += 1
        _room(total)
    return total


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    _weight(value)
    return str(value)


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _digits(bits: int) -> None:
    if bits > BITS:
        raise TooMuch(f"it makes a number of more than {BITS:,} bits")


def _narrow(width: Any) -> None:
    """A width, or what is put between."""
    if (len(width) if hasattr(width, "__len__") else width) > WIDEST:
        raise TooMuch(f"it asks for a width of more than {WIDEST:,} characters")


def _formatted(form: str, given: Any) -> None:
    """The text of `form % given` or form.format(*given) has room."""
    if re.search(r"%[^a-zA-Z%]*\*|\{[^{}]*:[^{}]*\{", form):
        raise TooMuch("it takes the width of a text from a value")
    widest = max((int(digits[:9]) for digits in re.findall(r"\d+", form)), default=0)
    _room(len(form) + (form.count("%") + form.count("{")) * (_weight(given) + widest))


def _replaced(text: Any, old: Any, new: Any, *_: Any) -> None:
    text, old, new = _text(text), _text(old), _text(new)
    _room(len(text) + text.count(old) * len(new))


def _joined(parts: Iterable[Any], between: Any) -> list[Any]:
    parts = list(parts)
    _room(_weight(parts) + len(parts) * len(_text(between)))
    return parts


# A method of str, by its name: what is looked at before it is called with `text` and the arguments.
_METHODS: dict[str, Callable[..., Any]] = {
    "center": lambda text, width, *_: _narrow(width),
    "ljust": lambda text, width, *_: _narrow(width),
    "rjust": lambda text, width, *_: _narrow(width),
    "zfill": lambda text, width: _narrow(width),
    "expandtabs": lambda text, tabsize=8: _room(len(text) * max(1, tabsize)),
    "replace": _replaced,
    "translate": lambda text, table: _room(len(text) * _weight(table)),
    "format": lambda text, *args, **named: _formatted(text, [args, named]),
    "format_map": lambda text, mapping: _formatted(text, mapping),
}


def _indent(text: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    _narrow(width)
    _room(_text(text).count("\n") * (width if isinstance(width, int) else len(width)))


def _tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, *_: Any, **__: Any) -> None:  # fmt: skip
    _weight(value)
    for extra in (indent, *(separators or ())):
        if extra is not None:
            _narrow(10 * extra)


def _count(value: Any, count: Any, *_: Any, **__: Any) -> None:
    if count > PARTS:
        raise TooMuch(f"it makes a list of more than {PARTS:,} parts")


# The same for filters.
_FILTERS: dict[str, Callable[..., Any]] = {
    "center": lambda text, width=80: _narrow(width),
    "indent": _indent,
    "replace": lambda text, old, new, *_, **__: _replaced(text, old, new),
    "format": lambda form, *args, **named: _formatted(_text(form), [args, named]),
    "wordwrap": lambda text, width=79, *_, **named: [_narrow(_text(text)[:1] * width), *map(_narrow, filter(None, named.values()))],
    "tojson": _tojson,
    "string": _weight,
    "batch": _count,
    "slice": _count,
    "round": lambda value, precision=0, *_, **__: _narrow(100 * abs(precision)),
    "sum": lambda values, *_, **__: _weight(values),
}  # fmt: skip


@jinja2.pass_context
def _written(context: Any, value: Any) -> str:
    """Every value that is written goes through here."""
    text = value if isinstance(value, str) else _text(value)
    _pay(len(text))
    return text


@jinja2.pass_context
def _paid(context: Any, characters: int) -> None:
    _pay(characters)


@jinja2.pass_context
def _concatenated(context: Any, *parts: Any) -> str:
    """`a ~ b`."""
    texts = [_text(part) for part in parts]
    _room(sum(map(len, texts)))
    return "".join(texts)


class _Toll(NodeTransformer):
    """Puts the payments into the template's own tree, where it can neither see nor skip them."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        first, *rest = [self.visit(part) for part in node.nodes]
        return nodes.Filter(first, " concatenated", rest, [], None, None, lineno=node.lineno)

    def visit_For(self, node: Any) -> nodes.Node:
        """A body, of a loop or a macro, pays when it is entered: for the turn and for its own words."""
        words = nodes.Const(sum(len(data.data) for data in node.find_all(nodes.TemplateData)))
        self.generic_visit(node)
        pays = nodes.Filter(words, " paid", [], [], None, None, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(pays, lineno=node.lineno))
        return node

    visit_Macro = visit_CallBlock = visit_For


class LimitedEnvironment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The sandbox of transformers' chat templates, with limits. For one conversation at a time
    `spent` holds a new `Spent`."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any):
        super().__init__(finalize=_written, **options)
        for name in _GLOBALS:
            self.globals.pop(name, None)
        for name in _NO_FILTERS:
            self.filters.pop(name, None)
        self.filters |= {" paid": _paid, " concatenated": _concatenated}

    def limit_filters(self) -> None:
        """To be called when all filters are there."""
        self.filters |= {name: _looked_at(self.filters[name], look) for name, look in _FILTERS.items()}
        self.filters["join"] = _join_filter(self.filters["join"])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > SOURCE:
            raise TooMuch(f"it has more than {SOURCE:,} characters")
        return _Toll().visit(super()._parse(source, name, filename))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        whole = _bits(left), _bits(right)
        if operator == "%" and isinstance(left, str):
            _formatted(left, right)
        elif operator == "**":
            _digits(whole[0] * abs(right) if isinstance(right, int) else 0)
        elif all(hasattr(side, "__len__") for side in (left, right)):
            _room(len(left) + len(right))
        elif operator == "*" and (hasattr(left, "__len__") or hasattr(right, "__len__")):
            text, times = (left, right) if hasattr(left, "__len__") else (right, left)
            _room(len(text) * (times if isinstance(times, int) else 1))
        else:
            _digits(sum(whole))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, function: Any, *args: Any, **named: Any) -> Any:
        _pay()
        of = getattr(
            getattr(function, "__wrapped__", function), "__self__", None
        )  # the sandbox wraps str.format
        if isinstance(of, str):
            name = function.__name__
            if name == "join" and args:
                args = (_joined(args[0], of), *args[1:])
            elif look := _METHODS.get(name):
                look(of, *args, **named)
        return super().call(context, function, *args, **named)


def _looked_at(made: Callable[..., Any], look: Callable[..., Any]) -> Callable[..., Any]:
    """A filter, after a look at what it is given. What jinja passes to it beforehand (its environment) is not looked at."""
    passed = hasattr(made, "jinja_pass_arg")

    def limited(*args: Any, **named: Any) -> Any:
        look(*args[passed:], **named)
        return made(*args, **named)

    if passed:
        limited.jinja_pass_arg = made.jinja_pass_arg
    return limited


def _join_filter(made: Callable[..., Any]) -> Callable[..., Any]:
    """`join` takes any iterator, which can be gone through only once."""

    @jinja2.pass_eval_context
    def join(context: Any, values: Any, d: Any = "", attribute: Any = None) -> Any:
        return made(context, _joined(values, d), d, attribute)

    return join
