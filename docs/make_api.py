"""Writes docs/api.md, the API reference, from the docstrings of the public names.

    make docs                       # or: python docs/make_api.py

A public name is one of `__all__` of the rooms in ROOMS. A name belongs to the group that lists it, else to the group of
the module it comes from; a new one needs nothing here. In docstrings, text indented by four blanks is an example:
tests/test_api.py runs them all, in the order of the page.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # of this checkout, wherever it is called from

import api_settings  # noqa: E402
from api_groups import GROUPS, Group  # noqa: E402
from api_text import Links, code, constant_comment, escape, examples_in, markdown  # noqa: E402

PAGE = HERE / "api.md"
ROOMS = ("sftkit", "sftkit.report", "sftkit.judging", "sftkit.ratings")
WIDTH = 100  # of a signature on one line
HEAD = """# sftkit's public names

Made from the docstrings by `make docs`; whatever should read otherwise is mended there.

`sk` is `import sftkit as sk`; other names are imported from the room they stand under. The examples follow each other
from top to bottom of the page: what one makes, the next ones use. They start in the folder of the checkout, and the
tests run them. The [errors](#errors) stand at the end of the page.
"""


@dataclass
class Entry:
    """One public name: `path` ("sk.Judge"), the object, and the other rooms that have it too."""

    path: str
    name: str
    value: Any
    home: str
    also: list[str] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        return inspect.isclass(self.value)

    @property
    def doc(self) -> str:
        """What is said of it: its docstring; of a constant, the comment above it."""
        if self.is_class or inspect.isroutine(self.value):
            return own_doc(self.value)
        return constant_comment(self.home, self.name)


def own_doc(thing: Any) -> str:
    """Its own docstring; what Python or a library says of such things is none."""
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    return inspect.cleandoc(thing.__doc__ or "")


# what there is


def entries() -> list[Entry]:
    """Every public name once, under the first room that has it."""
    found: dict[int, Entry] = {}
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in sorted(module.__all__, key=lambda name: (name.lower(), name)):
            value = getattr(module, name)
            if id(value) in found:
                found[id(value)].also.append(f"{room}.{name}")
            else:
                home = getattr(value, "__module__", None) or room
                found[id(value)] = Entry(f"{room.replace('sftkit', 'sk', 1) if room == 'sftkit' else room}.{name}", name, value, home)  # fmt: skip
    return list(found.values())


def group_of(entry: Entry) -> Group:
    """The group that lists the name, else the one with the nearest home, else the last."""
    for group in GROUPS:
        if entry.name in group.names:
            return group
    homes = [(len(home), n) for n, group in enumerate(GROUPS) for home in group.homes if f"{entry.home}.".startswith(f"{home}.")]  # fmt: skip
    return GROUPS[max(homes)[1]]  # "sftkit" is one: there is always a group


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, those of parents in this package too, in the order in which they are written."""
    seen = set()
    for parent in cls.__mro__:
        if parent.__module__.partition(".")[0] != "sftkit":
            continue
        for name, value in vars(parent).items():
            kinds = (types.FunctionType, property, functools.cached_property, classmethod, staticmethod)
            if name.startswith("_") or name in seen or not isinstance(value, kinds):
                continue
            seen.add(name)
            yield name, value


# signatures: annotations as they are written, defaults short


def annotation_text(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation.strip("'\"") if isinstance(annotation, str) else inspect.formatannotation(annotation)


def default_text(value: Any, names: dict[str, Any], factory: Any = None) -> str:
    """The default as code; a constant by its name; what would be long by its kind."""
    if factory is not None:
        return {dict: "{}", list: "[]"}.get(factory, f"{factory.__name__}()")
    for name, known in names.items():
        if name.isupper() and not name.startswith("_") and known is value and not isinstance(value, (bool, int, str, type(None))):  # fmt: skip
            return name
        if name.isupper() and isinstance(known, list) and isinstance(value, tuple) and known == list(value):
            return f"tuple({name})"
    text = repr(value)
    return text if len(text) <= 40 and " at 0x" not in text else f"{type(value).__name__}(…)"


def signature_of(thing: Any) -> inspect.Signature | None:
    """Of a class that of its own `__init__`; None where it has none, as an error with a message alone."""
    if not inspect.isclass(thing):
        return inspect.signature(thing)
    init = next((vars(parent)["__init__"] for parent in thing.__mro__ if "__init__" in vars(parent)), None)
    if not isinstance(init, types.FunctionType) or init.__module__.partition(".")[0] != "sftkit":
        return None
    return inspect.signature(init)


def parameters(thing: Any) -> set[str]:
    """Names that its docstring may explain: parameters, and the fields of a dataclass."""
    thing = getattr(thing, "__func__", thing)
    signature = signature_of(thing) if isinstance(thing, (type, types.FunctionType)) else None
    return set(signature.parameters) if signature else set()


def signature_text(name: str, thing: Any) -> str:
    """`name(a: int, b: str = "") -> int`, over several lines where it is long."""
    signature = signature_of(thing)
    if signature is None:
        return f"{name}(message: str)" if issubclass(thing, BaseException) else f"{name}()"
    source = sys.modules[thing.__module__]
    factories = {}
    if dataclasses.is_dataclass(thing):
        factories = {f.name: f.default_factory for f in dataclasses.fields(thing) if f.default_factory is not dataclasses.MISSING}  # fmt: skip
    parts, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = annotation_text(parameter.annotation)
        text = f"{stars}{parameter.name}" + (f": {kind}" if kind else "")
        if parameter.default is not inspect.Parameter.empty:
            default = default_text(parameter.default, vars(source), factories.get(parameter.name))
            text += f" = {default}" if kind else f"={default}"
        parts.append(text)
    result = "" if inspect.isclass(thing) else annotation_text(signature.return_annotation)
    tail = f" -> {result}" if result else ""
    line = f"{name}({', '.join(parts)}){tail}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){tail}"


# the page


def member_lines(name: str, member: Any, links: Links) -> list[str]:
    """A method or property as an item of a list."""
    if isinstance(member, (property, functools.cached_property)):
        getter = member.fget if isinstance(member, property) else member.func
        kind = annotation_text(inspect.signature(getter).return_annotation)
        head = f".{name}: {kind}" if kind else f".{name}"
    else:
        how = {classmethod: "classmethod ", staticmethod: "staticmethod "}.get(type(member), ".")
        head = how + " ".join(signature_text(name, getattr(member, "__func__", member)).split())
        head = head.replace("( ", "(").replace(", )", ")")
    said = markdown(own_doc(member), links, parameters(member))
    lines = f"- {code(head)}" + (f"  \n{said}" if said else "")
    return lines.replace("\n", "\n  ").replace("\n  \n", "\n\n").splitlines()


def entry_lines(entry: Entry, links: Links) -> list[str]:
    lines = [f'<a id="{entry.path}"></a>', "", f"### {escape(entry.path)}", ""]
    if entry.is_class or inspect.isroutine(entry.value):
        name = entry.path if entry.path.startswith("sk.") else entry.name
        lines += ["```python", signature_text(name, entry.value), "```", ""]
    elif entry.name != "__version__":
        shown = [getattr(one, "name", one) for one in entry.value]
        lines += ["```python", f"{entry.name} = {type(entry.value)(shown)!r}", "```", ""]
    lines += [markdown(entry.doc, links, parameters(entry.value)), ""] if entry.doc else []
    if entry.is_class and issubclass(entry.value, BaseException):
        parents = [links.link(parent.__name__) for parent in entry.value.__bases__ if parent is not Exception]
        lines += [f"A kind of {' and '.join(parents)}.", ""] if parents else []
    if entry.also:
        lines += [f"Also {', '.join(code(path) for path in entry.also)}.", ""]
    if entry.name == "SFTConfig":
        lines += api_settings.lines(entry.value)
    if dataclasses.is_dataclass(entry.value):
        lines += api_settings.rules(entry.value, default_text)
    if entry.is_class and (found := list(members(entry.value))):
        for name, member in found:
            lines += member_lines(name, member, links)
        lines.append("")
    return lines


def grouped() -> list[tuple[Group, list[Entry]]]:
    """Groups that have names, each with its entries: those that the group lists first, then those of `sk`."""
    found: dict[str, list[Entry]] = {group.title: [] for group in GROUPS}
    for entry in entries():
        found[group_of(entry).title].append(entry)
    for group in GROUPS:
        found[group.title].sort(key=lambda entry, names=group.names: names.index(entry.name) if entry.name in names else len(names))  # fmt: skip
    return [(group, found[group.title]) for group in GROUPS if found[group.title]]


def contents(groups: list[tuple[Group, list[Entry]]]) -> list[str]:
    """Each group with its names; those of a room under the name of the room."""
    lines = []
    for group, inside in groups:
        lines.append(f"- **[{group.title}](#{group.anchor})**")
        for room in dict.fromkeys(entry.path.rpartition(".")[0] for entry in inside):
            names = [f"[{escape(entry.name)}](#{entry.path})" for entry in inside if entry.path.rpartition(".")[0] == room]  # fmt: skip
            lines.append(f"  - {code(room)}: {' · '.join(names)}")
    return lines


def page() -> str:
    """The text of docs/api.md."""
    groups = grouped()
    links = Links({entry.name: entry.path for _, inside in groups for entry in inside})
    lines = [HEAD, "## Contents", "", *contents(groups)]
    for group, inside in groups:
        lines += ["", f'<a id="{group.anchor}"></a>', "", f"## {group.title}", "", group.about, ""]
        lines += ["```python", group.example.strip(), "```", ""] if group.example else []
        for entry in inside:
            lines += entry_lines(entry, links)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def examples() -> list[tuple[str, str]]:
    """(whose, code) of every example in the order of the page."""
    found = []
    for group, inside in grouped():
        found += [(group.title, group.example)] if group.example else []
        for entry in inside:
            found += [(entry.path, text) for text in examples_in(entry.doc)]
            if entry.is_class:
                for name, member in members(entry.value):
                    found += [(f"{entry.path}.{name}", text) for text in examples_in(own_doc(member))]
    return found


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    print(f"docs/{PAGE.name}: {len(text.splitlines())} lines")
