"""A shell script to the words of its training command, as bash would have them: quotes, continuations, comments,
variables set in the script, arrays, here-documents, pipes and redirections. Nothing is run.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sftkit.errors import ConfigError, Fault
from sftkit.wording import say

# The word after which the flags of the training begin; failing that, any Python script.
PROGRAM = re.compile(r"^(?!-).*(train_sft(\.py)?|sft\.py|scripts\.sft)$|^sft$|^launch$|^llamafactory-cli$")
OTHER = re.compile(r"^(?!-).*\.py$")

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_HERE = re.compile(r"(?<!<)<<-?[ \t]*(['\"]?)(\w+)\1")
_PROMPT = re.compile(r"(?m)^[ \t]*(```.*$|%%(?:bash|sh|script)\b.*$|(?:!|\$[ \t]|>>>[ \t])[ \t]*)")
_TOKEN = re.compile(
    r"""(?P<continued>[\\`^][ \t]*\r?\n)
    | (?P<comment>(?<!\S)\#[^\n]*)
    | (?P<ansi>\$'(?:[^'\\]|\\.)*')
    | (?P<single>'[^']*')
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<escaped>\\.)
    | (?P<substituted>\$\((?:[^()]|\([^()]*\))*\))
    | (?P<variable>\$(?:\w+|[@*#?]|\{[^{}]*\}))
    | (?P<blank>[ \t\r]+)
    | (?P<end>\n | (?<!\S)(?:\d?>{1,2}(?:&\d)?|&>{1,2}|<{1,3}(?=\s|[./\w]*(?:\s|$))) | && | \|\|? | ;+ | &)
    | (?P<plain>[^\s'"\\$;&|\#>()]+ | .)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass
class Line:
    """One command: its words, and whether a mere line break ended it (then flags may go on below)."""

    words: list[str]
    broken: bool = True


@dataclass
class Script:
    """What was read: the command's `program`, the words `before` it on its line, those `after`, the variables that the
    script sets, those it uses without setting them, and how many training commands there are."""

    program: str = ""
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    variables: dict[str, list[str]] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)
    commands: int = 0


def read(text: str, takes_value: Callable[[str], bool]) -> Script:
    """The last training command of a script. `takes_value(flag)` tells a value from a program of the same name.

    Raises `ConfigError` where a quote is left open.
    """
    script = Script()
    lines: list[Line] = []
    for piece, variable in _pieces(_PROMPT.sub("", text)):
        if variable is None:
            _scan(piece, script, lines)
        else:
            _here_document(piece, variable, script, lines)
    lines = _joined(lines)
    commands = _commands(lines, PROGRAM, takes_value) or _commands(lines, OTHER, takes_value)
    script.commands = len(commands)
    if commands:
        line, place = commands[-1]
        script.program, script.before, script.after = (
            line.words[place],
            line.words[:place],
            line.words[place + 1 :],
        )
    else:
        script.after = [word for line in lines for word in line.words]
    return script


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """The text in pieces: (piece, None), or (a here-document, the variable that `read` puts it into, "" for none)."""
    rows = text.split("\n")
    places: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(row.strip(), []).append(number)
    begun = number = 0
    while number < len(rows):
        found = _HERE.search(rows[number]) if "<<" in rows[number] else None
        ends = places.get(found[2], []) if found else []
        after = bisect_right(ends, number)
        if found and after < len(ends):
            yield "\n".join(rows[begun:number]), None
            before = rows[number][: found.start()].split()
            yield "\n".join(rows[number + 1 : ends[after]]), before[-1] if before[:1] == ["read"] else ""
            begun = number = ends[after]
            rows[begun] = ""
        number += 1
    yield "\n".join(rows[begun:]), None


def _here_document(body: str, variable: str, script: Script, lines: list[Line]) -> None:
    """`read -r -d '' name <<EOF …`, as OpenRLHF's example scripts write it: the body is the variable's words.

    The command that uses the variable comes after; the body itself counts as one for scripts cut off before it.
    """
    own: list[Line] = []
    _scan(body, script, own)
    words = [word for line in own for word in line.words]
    if variable:
        script.variables[variable] = words
    if words:
        lines.append(Line(words, broken=False))


def _joined(lines: list[Line]) -> list[Line]:
    """Lines of flags belong to the command above, though the backslash was forgotten."""
    joined: list[Line] = []
    for line in lines:
        if joined and joined[-1].broken and line.words[0].startswith("-"):
            joined[-1] = Line(joined[-1].words + line.words, line.broken)
        else:
            joined.append(line)
    return joined


def _commands(
    lines: list[Line], program: re.Pattern[str], takes_value: Callable[[str], bool]
) -> list[tuple[Line, int]]:
    """The lines with a program in them, and where in the line it stands."""
    places = [(line, _place(line.words, program, takes_value)) for line in lines]
    return [(line, place) for line, place in places if place is not None]


def _place(words: list[str], program: re.Pattern[str], takes_value: Callable[[str], bool]) -> int | None:
    """Where the program stands that the flags belong to. A value may look like one: --save_path out/train_sft."""
    found = None
    for place, word in enumerate(words):
        before = words[place - 1] if place else "sftkit"
        is_value = before.startswith("--") and "=" not in before and takes_value(before)
        foreign = word == "launch" and before != "sftkit"  # accelerate's, whose script comes after it
        if program.search(word) and not is_value and not foreign:
            found = place
    return found


class _Words:
    """Words as they are put together from pieces, and the lines they make."""

    def __init__(self, script: Script, lines: list[Line]):
        self._script, self._lines = script, lines
        self._word: str | None = None
        self._words: list[str] = []
        self._array = ""  # the name of the array whose words are being read

    def add(self, piece: str) -> None:
        self._word = (self._word or "") + piece

    def split(self, words: list[str]) -> None:
        """What an unquoted variable holds: blanks in it part words."""
        for number, word in enumerate(words):
            if number:
                self.end_word()
            self.add(word)

    def end_word(self) -> None:
        if self._word is not None:
            self._words.append(self._word)
        self._word = None

    def open(self) -> bool:
        """`name=(` begins an array; any other bracket is part of a word."""
        name = _ASSIGNMENT.fullmatch(self._word or "")
        if not name or name[2]:
            return False
        self._array, self._word = name[1] + ("+" if "+=" in (self._word or "") else ""), None
        self.end_line()
        return True

    def close(self) -> bool:
        if not self._array:
            return False
        self.end_word()
        name = self._array.rstrip("+")
        kept = self._script.variables.get(name, []) if self._array.endswith("+") else []
        self._script.variables[name] = kept + self._words
        self._array, self._words = "", []
        return True

    def end_line(self, broken: bool = True) -> None:
        self.end_word()
        if self._array and broken:
            return  # an array goes over several lines
        words = self._words[1:] if self._words[:1] in (["export"], ["set"], ["local"]) else self._words
        given = [_ASSIGNMENT.fullmatch(word) for word in words]
        if words and all(given):
            for found in given:
                assert found
                self._script.variables[found[1]] = [found[2]]
        elif self._words:
            self._lines.append(Line(self._words, broken))
        self._words = []


def _scan(text: str, script: Script, lines: list[Line]) -> None:
    """Add a text's commands to `lines`, and what it assigns to the script's variables."""
    words = _Words(script, lines)
    for token in _TOKEN.finditer(text):
        kind, piece = token.lastgroup, token[0]
        if kind in ("continued", "blank", "comment"):
            words.end_word()
        elif kind == "end":
            words.end_line(broken=piece == "\n")
        elif kind == "variable":
            words.split([part for value in _value(piece, script) for part in value.split()] or [""])
        elif kind == "plain" and piece in "'\"":
            raise ConfigError(
                [Fault("", say("the command cannot be read: a quote is left open."), say("Look for it."))]
            )
        elif not ((piece == "(" and words.open()) or (piece == ")" and words.close())):
            _quoted(kind or "", piece, words, script)
    words.end_line()


def _quoted(kind: str, piece: str, words: _Words, script: Script) -> None:
    if kind == "ansi":
        words.add(
            re.sub(
                r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1]), piece[2:-1]
            )
        )
    elif kind == "single":
        words.add(piece[1:-1])
    elif kind == "escaped":
        words.add(piece[1])
    elif kind == "double" and re.fullmatch(r'"\$(\{\w+\[@\]\}|@)"', piece):
        words.split(_value(piece[1:-1], script))
    elif kind == "double":
        pattern = r"\\([$`\"\\])|\\\r?\n|\$\w+|\$\{[^{}]*\}"
        words.add(re.sub(pattern, lambda found: _inside(found, script), piece[1:-1]))
    else:
        words.add(piece)


def _inside(found: re.Match[str], script: Script) -> str:
    """What a `\\` or a `$name` between double quotes stands for."""
    if found[0].startswith("\\"):
        return found[1] or ""
    return " ".join(_value(found[0], script))


def _value(name: str, script: Script) -> list[str]:
    """The words of `$name`, `${name}`, `${name[@]}` or `${name:-other}`; one not set in the script stays as it stands."""
    found = re.fullmatch(r"\$\{?(\w+)(?:\[[@*]\])?(?::?-(.*?))?\}?", name, re.DOTALL)
    if not found:
        return [name]
    if found[1] in script.variables:
        return script.variables[found[1]]
    if found[2] is not None:
        return [found[2].strip("'\"")]
    script.unset.add(found[1])
    return [name]
