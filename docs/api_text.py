"""Docstrings as Markdown: text escaped, names in backticks linked, indented blocks as Python code."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

AFTER = (
    r"(?<=[.)]) (?=Raises |Returns |\w+Error (?:for|when|names) )"  # what stands behind the last parameter
)
BULLET = "\0"  # before a piece that is to be an item of a list


@dataclass
class Links:
    """Public name -> its path, which is its anchor on the page."""

    paths: dict[str, str]

    def link(self, text: str) -> str:
        """The code as a link where it is a public name: `Judge`, `sk.launch`, `sftkit.report.plan`."""
        bare = text.removesuffix("()")
        name = bare.rpartition(".")[2]
        path = self.paths.get(name)
        plain = bare == name and name[:1].isupper()
        if path and (plain or bare in (path, path.replace("sk.", "sftkit.", 1))):
            return f"[{code(text)}](#{path})"
        return code(text)

    def errors(self, text: str) -> str:
        """Errors named in plain words as links too."""
        names = "|".join(
            sorted(name for name in self.paths if name.endswith("Error") or name == "RunNotFound")
        )
        return (
            re.sub(rf"(?<![\w.`\[#])({names})(?![\w`\]])", lambda found: self.link(found[0]), text)
            if names
            else text
        )


def code(text: str) -> str:
    return f"`{text}`"


def escape(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\*_\[\]~$|])", r"\\\1", text)


def blocks(doc: str) -> list[str]:
    """Paragraphs and examples of a docstring. An example is indented by four, and goes on over empty lines."""
    found: list[str] = []
    for block in re.split(r"\n\s*\n", doc):
        if not block.strip():
            continue
        if found and is_example(block) and is_example(found[-1]):
            found[-1] += "\n\n" + block
        else:
            found.append(block)
    return found


def is_example(block: str) -> bool:
    return all(line.startswith("    ") for line in block.splitlines() if line.strip())


def examples_in(doc: str) -> list[str]:
    return [inspect.cleandoc("\n" + block) for block in blocks(doc) if is_example(block)]


def markdown(doc: str, links: Links, parameters: Collection[str] = ()) -> str:
    """The docstring as Markdown, one line a paragraph; what explains `parameters` one by one becomes a list."""
    parts: list[str] = []
    for block in blocks(doc):
        if is_example(block):
            parts.append("```python\n" + inspect.cleandoc("\n" + block) + "\n```")
        else:
            pieces = explained(" ".join(block.split()), parameters)
            parts += [_paragraph(piece, links) for piece in pieces]
    text = "\n\n".join(parts)
    return re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", text)  # items of one list


def explained(text: str, parameters: Collection[str]) -> list[str]:
    """The text cut before each "name: " or "name, name: " of parameters that begins a sentence; whole, unless two do."""
    if not parameters:
        return [text]
    name = "`?(?:" + "|".join(sorted(map(re.escape, parameters), key=lambda name: (-len(name), name))) + ")`?"
    starts = [
        found.start()
        for found in re.finditer(rf"(?:(?<=^)|(?<=[.;)] )){name}(?:(?:, | and ){name})*: ", text)
    ]
    if len(starts) < 2:
        return [text]
    cuts = [*([0] if starts[0] else []), *starts, len(text)]
    pieces = [(BULLET if a in starts else "") + text[a:b].strip() for a, b in pairwise(cuts)]
    return [*pieces[:-1], *re.split(AFTER, pieces[-1], maxsplit=1)]


def _paragraph(text: str, links: Links) -> str:
    bullet = ""
    if text.startswith(BULLET):  # the names that it explains, as code
        names, colon, said = text.removeprefix(BULLET).partition(": ")
        bullet, text = "- ", re.sub(r"`?(\w+)`?", r"`\1`", names).replace(" `and` ", " and ") + colon + said
    pieces = re.split(r"`([^`]+)`", text)
    said = "".join(links.link(piece) if n % 2 else escape(piece) for n, piece in enumerate(pieces))
    said = links.errors(said)
    return bullet + re.sub(r"^([-+#]|\d+\.)(?=\s)", r"\\\1", said)  # no list, no heading


def constant_comment(room: str, name: str) -> str:
    """The comment above the constant `name` of a room, in whichever of its modules it is made."""
    for module in _makers(room, name):
        lines = inspect.getsource(module).splitlines()
        start = next((n for n, line in enumerate(lines) if re.match(rf"{name}\b.*=", line)), None)
        if start is None:
            continue
        above: list[str] = []
        while start and lines[start - 1].startswith("#"):
            start -= 1
            above.insert(0, lines[start].lstrip("# "))
        return " ".join(above)
    return ""


def _makers(room: str, name: str) -> list:
    """The room itself and the module that it takes `name` from."""
    module = importlib.import_module(room)
    tree = ast.parse(inspect.getsource(module))
    sources = [
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}
    ]
    return [importlib.import_module(source) for source in sources] + [module]
