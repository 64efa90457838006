"""The flags that OpenRLHF's train_sft has had, version by version, as its own source states them.

    python tests/openrlhf_flags.py     # fetches the wheels below from the package index and writes openrlhf_flags.json

`parser(version)` builds the argparse parser of a version from that table, so that the tests need neither network nor
OpenRLHF. Nothing of OpenRLHF is run: its parser is read from the syntax tree of `openrlhf/cli/train_sft.py`.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_suffix(".json")
VERSIONS = (
    "0.3.6.post3 0.3.8 0.4.0.post3 0.4.6 0.5.0 0.5.2 0.5.3 0.5.4 0.5.6 0.5.7 0.5.8 0.5.9.post1 0.6.0 0.6.1.post1 0.6.2 0.6.4 0.7.0 "
    "0.7.1.post2 0.7.2 0.7.3 0.7.4.post2 0.7.5 0.8.0 0.8.9 0.8.10 0.8.11 0.9.1 0.9.2 0.9.10 0.10.1.post2 0.10.2 0.10.4 0.11.2"
).split()
KEPT = ("type", "nargs", "choices", "action", "default")  # what add_argument was told that a command can meet


def read(wheel: Path) -> dict[str, dict[str, Any]]:
    """{flag: what add_argument was told of it} in the wheel's train_sft; values as source text."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("openrlhf/cli/train_sft.py"))
        tree = ast.parse(archive.read(name))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        ast.literal_eval(call.args[0]): {
            each.arg: ast.unparse(each.value) for each in call.keywords if each.arg in KEPT
        }
        for call in calls
        if getattr(call.func, "attr", "") == "add_argument"
    }


def ranges(tables: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each flag and each way it was told, with the first and last version that has it so."""
    rows: list[dict[str, Any]] = []
    for version, flags in tables.items():
        before = [row for row in rows if row["last"] == previous(version, tables)]
        for flag, told in flags.items():
            same = [row for row in before if row["flag"] == flag and row["told"] == told]
            if same:
                same[0]["last"] = version
            else:
                rows.append({"flag": flag, "first": version, "last": version, "told": told})
    return rows


def previous(version: str, tables: dict[str, Any]) -> str:
    names = list(tables)
    return names[max(0, names.index(version) - 1)]


def parser(version: str) -> argparse.ArgumentParser:
    """A parser that takes what train_sft of `version` takes. It raises SystemExit on any other flag or value."""
    order = json.loads(TABLE.read_text(encoding="utf-8"))["versions"]
    made = argparse.ArgumentParser(allow_abbrev=False)
    for row in json.loads(TABLE.read_text(encoding="utf-8"))["flags"]:
        if order.index(row["first"]) <= order.index(version) <= order.index(row["last"]):
            made.add_argument(row["flag"], **{name: value(name, text) for name, text in row["told"].items()})
    return made


def value(name: str, text: str) -> Any:
    """What add_argument is told, from its source text."""
    if name == "type":
        return {"str": str, "int": int, "float": float}[text]
    try:
        return ast.literal_eval(text)
    except ValueError:  # a default that is worked out, such as the date in a run's name
        return None


def fetch(version: str, folder: Path) -> Path:
    """The version's wheel, downloaded."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), f"openrlhf=={version}"], check=True)
    return next(folder.glob(f"openrlhf-{version}-*.whl"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheels = {version: fetch(version, Path(folder)) for version in VERSIONS}
        rows = ranges({version: read(wheel) for version, wheel in wheels.items()})
        names = [wheel.name for wheel in wheels.values()]
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    head = f'{{\n "from": {json.dumps(names)},\n "versions": {json.dumps(VERSIONS)},\n "flags": [\n'
    TABLE.write_text(f"{head}{lines}\n ]\n}}\n", encoding="utf-8")
    print(f"{len(rows)} flags of {len(VERSIONS)} versions in {TABLE}")


if __name__ == "__main__":
    main()
