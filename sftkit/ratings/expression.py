"""A filter's text read by Python's own parser and made into steps over whole columns; nothing of it is ever run.

See sftkit/ratings/filtering.py for what may be written.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sftkit.errors import Fault, FilterError
from sftkit.wording import say

TEXT, TRUTH, NUMBER, LIST = say("text"), say("yes or no"), say("a number"), say("a list of texts")
COLUMNS = {
    "prompt_id": TEXT, "task": TEXT, "models": LIST, "model": LIST, "rated": TRUTH, "unrated": TRUTH, "verdict": TEXT,
    "disagreement": TRUTH, "flagged": TRUTH, "skipped": TRUTH, "text": TEXT, "tags": LIST, "note": TEXT,
}  # fmt: skip
LONGEST = 2000  # characters of an expression
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_SAME = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_INSTEAD: dict[type, str] = {
    ast.BitAnd: "and", ast.BitOr: "or", ast.Invert: "not", ast.Is: "==", ast.IsNot: "!=", ast.NamedExpr: "==",
    ast.JoinedStr: "'math'",
}  # fmt: skip
_SLIPS = {
    r"[\u2018\u2019\u201c\u201d]": "'math'",
    r"&&|\bAND\b": "and",
    r"\|\||\bOR\b": "or",
    r"!(?!=)|\bNOT\b": "not",
    r"(?<![=!<>])=(?!=)": "==",
}
_WORDS = "and, or, not, in, ==, !=, <, <=, >, >=, len, lower, startswith, endswith"

Columns = Callable[[str], Sequence[Any]]  # a column's values by its name


@dataclass(frozen=True)
class Part:
    """A piece of the expression that has a value in every row. of: from the columns to one value a row."""

    kind: str
    of: Callable[[Columns, int], Sequence[Any]]
    plain: bool = False  # written out, not from a column


def at_place(place: int) -> str:
    """How a fault says where it is; `place` counts from 0."""
    return say("character {n}", n=place + 1)


class Reader:
    """From the text to a part, once: all faults are gathered, then raised together."""

    def __init__(self, text: str, hidden: Collection[str] = ()):
        self.text = text
        self._offered = [name for name in COLUMNS if name not in hidden]  # proposed where a name is wrong
        self.columns: dict[str, int] = {}
        self._faults: list[Fault] = []
        self._line = text.translate(dict.fromkeys(map(ord, "\r\n\t\f\v"), " "))
        self._skipped = len(self._line) - len(self._line.lstrip())

    def read(self) -> Part | None:
        if not self._line.strip():
            return None
        if len(self.text) > LONGEST:
            words = say("It has {n} characters, at most {most} can be.", n=len(self.text), most=LONGEST)
            raise FilterError(self.text, [Fault("", words)])
        try:
            part = self._truth(self._parsed())
        except RecursionError:
            raise FilterError(self.text, [Fault("", say("It is nested too deeply."))]) from None
        if self._faults:
            raise FilterError(self.text, self._faults)
        return part

    def _parsed(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "\d" and the like are the writer's business
                return ast.parse(self._line.strip(), mode="eval").body
        except SyntaxError as error:
            place = min(max(0, (error.offset or 1) - 1) + self._skipped, len(self.text))
            slip = next((right for sign, right in _SLIPS.items() if re.search(sign, self._line)), "")
            fault = Fault(
                at_place(place), _unread(error.msg or "invalid syntax"), _write(slip) if slip else ""
            )
        except (MemoryError, RecursionError):
            fault = Fault("", say("It is nested too deeply."))
        except (ValueError, OverflowError) as error:
            fault = Fault("", _unread(str(error)))
        raise FilterError(self.text, [fault]) from None

    def _place(self, node: ast.AST) -> int:
        """The character, from 0, at which the node begins; ast counts bytes."""
        before = self._line.strip().encode("utf-8", "surrogatepass")[: getattr(node, "col_offset", 0)]
        return len(before.decode("utf-8", "replace")) + self._skipped

    def _wrong(self, node: ast.AST, message: str, fix: str = "") -> None:
        self._faults.append(Fault(at_place(self._place(node)), message, fix))

    def _refused(self, node: ast.AST) -> None:
        right = _INSTEAD.get(type(getattr(node, "op", None))) or _INSTEAD.get(type(node))
        fix = _write(right) if right else say("Use {words}, columns and texts in quotes.", words=_WORDS)
        self._wrong(node, say("{source} cannot be used in a filter.", source=self._source(node)), fix)

    def _source(self, node: ast.AST) -> str:
        return _short(ast.get_source_segment(self._line.strip(), node) or type(node).__name__)

    def _truth(self, node: ast.expr) -> Part:
        """A part that is yes or no in every row."""
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(value) for value in node.values]
            join = all if isinstance(node.op, ast.And) else any
            return Part(TRUTH, lambda c, n: list(map(join, zip(*(part.of(c, n) for part in parts)))))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand)
            return Part(TRUTH, lambda c, n: list(map(operator.not_, inner.of(c, n))))
        part = self._part(node)
        if part.plain and part.kind in (TEXT, NUMBER, LIST):
            right = f"{self._source(node)} in text" if part.kind == TEXT else _EXAMPLES[part.kind]
            self._wrong(
                node, say("{source} says nothing by itself.", source=self._source(node)), _write(right)
            )
        return part if part.kind == TRUTH else Part(TRUTH, lambda c, n: list(map(bool, part.of(c, n))))

    def _part(self, node: ast.expr) -> Part:
        if isinstance(node, ast.Constant):
            return self._constant(node, node.value)
        if isinstance(node, ast.Name):
            return self._column(node)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.BoolOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
            return self._truth(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand):
            return self._constant(node, -node.operand.value)  # type: ignore[attr-defined]
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            return self._several(node)
        self._refused(node)
        return _NOTHING

    def _constant(self, node: ast.expr, value: Any) -> Part:
        if isinstance(value, bool):
            return Part(TRUTH, lambda c, n: [value] * n, plain=True)
        if isinstance(value, str):
            return Part(TEXT, lambda c, n: [value] * n, plain=True)
        if isinstance(value, (int, float)):
            return Part(NUMBER, lambda c, n: [value] * n, plain=True)
        words = say("{source} cannot be used in a filter.", source=self._source(node))
        self._wrong(node, words, say("Write '' for what is missing."))
        return _NOTHING

    def _several(self, node: ast.Tuple | ast.List | ast.Set) -> Part:
        values = [value.value if isinstance(value, ast.Constant) else None for value in node.elts]
        if not values or not all(isinstance(value, str) for value in values):
            self._wrong(node, say("A list holds texts in quotes only."), _write("('math', 'code')"))
        return Part(LIST, lambda c, n: [tuple(values)] * n, plain=True)

    def _column(self, node: ast.Name) -> Part:
        name = node.id
        if name not in COLUMNS:
            near = get_close_matches(name, self._offered, n=1, cutoff=0.6)
            known, text = ", ".join(self._offered), repr(_short(name))
            fix = say("Columns: {names}. Texts go in quotes: {text}.", names=known, text=text)
            self._wrong(
                node,
                say("{name} is no column.", name=_short(name)),
                say("Did you mean {name}?", name=near[0]) if near else fix,
            )
            return _NOTHING
        self.columns.setdefault(name, self._place(node))
        return Part(COLUMNS[name], lambda c, n: c(name))

    def _call(self, node: ast.Call) -> Part:
        """name(text, …) or text.name(…)"""
        given = [node.func.value, *node.args] if isinstance(node.func, ast.Attribute) else list(node.args)
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        if name not in _CALLS:
            self._refused(node)
            return _NOTHING
        takes, gives, does = _CALLS[name]
        parts = [self._part(value) for value in given]
        fits = len(parts) == len(takes) and all(_fits(part.kind, kinds) for part, kinds in zip(parts, takes))
        if node.keywords or not fits:
            self._wrong(node, say("{name} does not take these values.", name=name), _write(_USES[name]))
            return _NOTHING
        return Part(gives, lambda c, n: list(map(does, *(part.of(c, n) for part in parts))))

    def _compared(self, node: ast.Compare) -> Part:
        """a == b, and a < b < c as a < b and b < c."""
        sides = [self._part(side) for side in (node.left, *node.comparators)]
        places = [node.left, *node.comparators]
        links = [
            self._link(node, place, left, op, right)
            for place, left, op, right in zip(places[1:], sides, node.ops, sides[1:])
        ]
        if len(links) == 1:
            return links[0]
        return Part(TRUTH, lambda c, n: list(map(all, zip(*(link.of(c, n) for link in links)))))

    def _link(self, node: ast.Compare, place: ast.expr, left: Part, op: ast.cmpop, right: Part) -> Part:
        does = _comparison(op, left, right)
        if does is not None:
            return Part(TRUTH, lambda c, n: list(map(does, left.of(c, n), right.of(c, n))))
        if type(op) in (ast.Is, ast.IsNot):
            self._wrong(
                node, say("{source} cannot be used in a filter.", source="is"), _write(_INSTEAD[type(op)])
            )
        elif type(op) in _ORDER and _ANY not in (left.kind, right.kind):
            words = say("Only numbers come before or after one another.")
            self._wrong(place, words, _write(_EXAMPLES[NUMBER]))
        elif _ANY not in (left.kind, right.kind):
            words = say("{left} and {right} cannot be compared like this.", left=left.kind, right=right.kind)
            self._wrong(place, words, _write(_EXAMPLES[right.kind]))
        return _NOTHING


_ANY = "anything"  # the kind of what was refused, so that one fault does not bring others
_NOTHING = Part(_ANY, lambda c, n: [False] * n)
_CALLS: dict[str, tuple[list[tuple[str, ...]], str, Callable[..., Any]]] = {
    "len": ([(TEXT, LIST)], NUMBER, len),
    "lower": ([(TEXT,)], TEXT, str.lower),
    "startswith": ([(TEXT,), (TEXT,)], TRUTH, str.startswith),
    "endswith": ([(TEXT,), (TEXT,)], TRUTH, str.endswith),
}
_USES = {
    "len": "len(text) > 500",
    "lower": "lower(task) == 'math'",
    "startswith": "startswith(task, 'm')",
    "endswith": "endswith(text, '?')",
}
_EXAMPLES = {
    TEXT: "task == 'math'",
    TRUTH: "flagged",
    NUMBER: "len(text) > 500",
    LIST: "'unsafe' in tags",
}


def _comparison(op: ast.cmpop, left: Part, right: Part) -> Callable[[Any, Any], bool] | None:
    """What `op` does to a value on the left and one on the right; None where it makes no sense."""
    kinds = (left.kind, right.kind)
    if type(op) in _ORDER and kinds == (NUMBER, NUMBER):
        return _ORDER[type(op)]
    if type(op) in _SAME:
        if left.kind == right.kind and left.kind != LIST:
            return _SAME[type(op)]
        return {(LIST, TEXT): _has, (TEXT, LIST): _among}.get(kinds) and _turned(op, kinds)
    if isinstance(op, (ast.In, ast.NotIn)):
        found = {(TEXT, TEXT): _holds, (TEXT, LIST): _among}.get(kinds)
        if kinds == (LIST, LIST) and right.plain:
            found = _meets
        if found is not None and isinstance(op, ast.NotIn):
            return lambda a, b: not found(a, b)
        return found
    return None


def _turned(op: ast.cmpop, kinds: tuple[str, str]) -> Callable[[Any, Any], bool]:
    """== or != of a list and a text: whether the text is one of the list."""
    does = _has if kinds == (LIST, TEXT) else _among
    return does if isinstance(op, ast.Eq) else lambda a, b: not does(a, b)


def _holds(part: str, whole: str) -> bool:
    return part.lower() in whole.lower()


def _among(one: str, several: Sequence[str]) -> bool:
    return one in several


def _has(several: Sequence[str], one: str) -> bool:
    return one in several


def _meets(some: Sequence[str], others: Sequence[str]) -> bool:
    return any(one in others for one in some)


def _fits(kind: str, kinds: tuple[str, ...]) -> bool:
    return kind == _ANY or kind in kinds


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _unread(words: str) -> str:
    """In the words of Python's parser, which are English."""
    return say("It cannot be read: {words}.", words=words.replace(" or ':='", "").rstrip(".?"))


def _write(example: str) -> str:
    return say("Write {example}.", example=example)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
