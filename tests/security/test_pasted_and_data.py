"""Pasted commands, YAML, and data files of others are read, and nothing in them is run."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

import sftkit as sk
from sftkit import command
from sftkit.config import SFTConfig
from sftkit.data.reading import read_rows
from sftkit.errors import ConfigError, DataError
from sftkit.runs.replay import Replay

PACKAGE = Path(sk.__file__).parent
SUBSTITUTIONS = [
    "$(mkdir MARK)", "`mkdir MARK`", "; mkdir MARK", "&& mkdir MARK", "| mkdir MARK", "\nmkdir MARK\n", "$(<MARK)",
    "${X:=$(mkdir MARK)}", "<(mkdir MARK)", "> MARK", "$'\\x60mkdir MARK\\x60'", "\\\n; mkdir MARK", "'\"; mkdir MARK; \"'",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", SUBSTITUTIONS)
@pytest.mark.parametrize("place", ["{}", "'{}'", '"{}"'])
def test_a_pasted_command_runs_nothing(text, place, tmp_path):
    pasted = f"X={place.format(text)}\nopenrlhf.cli.train_sft --pretrain m --dataset {place.format(text)} --max_epochs 1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            command.translate(pasted)
            SFTConfig.from_command(pasted)
        except ConfigError:
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [*SUBSTITUTIONS, "$HOME", "a b", "*", "~", "!!", "-x", "'", '"', "\\"])
def test_a_setting_is_one_word_of_the_command_that_is_written(text, tmp_path):
    """Whatever a pasted command or a run folder named as its data: a shell that gets our command runs only ours."""
    config = SFTConfig(pretrain="m", dataset="x" + text)
    shown = "show() { printf '%s\\0' \"$@\"; }; set -f"
    for target in ("sftkit", "openrlhf==0.8.9", "openrlhf==0.11", "trl"):
        written = config.to_command(target).replace("\\\n", " ")
        lines = "\n".join(line for line in written.splitlines() if not line.startswith("#"))
        shown += f"\nshow {target} {lines}"
    done = subprocess.run(
        ["bash", "--norc", "-c", shown], capture_output=True, cwd=tmp_path, env={"HOME": "HOME"}
    )
    assert done.returncode == 0, done.stderr
    if "\n" not in text:  # else it is told in a comment, or spans lines
        assert done.stdout.split(b"\0").count(("x" + text).encode()) == 4, shown
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", [*SUBSTITUTIONS, "'''", '"""', "\\", "{x}", "#", '");__import__("os").mkdir("MARK");("']
)
def test_code_that_we_write_says_only_the_settings(text, tmp_path):
    """to_code, repr, the TRL script and a replay's cell, whatever stands in a setting."""
    config = SFTConfig(pretrain="m" + text, dataset="d" + text, input_template="{}" + text.replace("{", "").replace("}", ""))  # fmt: skip
    assert eval(config.to_code(), {"sk": sk}) == config
    assert eval(repr(config), {"SFTConfig": SFTConfig}) == config
    cells = [config.to_trl_python(), Replay(config, data={"train: " + text: text}, model={text: text}, versions={text: text}, machine={text: text}).to_code()]  # fmt: skip
    for cell in cells:
        words = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(ast.parse(cell))}
        assert not words & {"__import__", "mkdir", "os"}, cell
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [MARK]", "dataset: !!python/object/apply:os.mkdir [MARK]", "- !!python/name:os.mkdir",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "[" * 1500, "{" * 1500, "- " * 1500, "dataset: " + "9" * 6000,
    ],
)  # fmt: skip
def test_yaml_makes_plain_values_or_a_fault(text, tmp_path):
    for read in (SFTConfig.from_yaml, SFTConfig.from_command):
        with pytest.raises(ConfigError):
            read("pretrain: m\n" + text if read is SFTConfig.from_yaml and ":" in text else text)
    assert not list(tmp_path.iterdir())


def test_files_named_by_a_pasted_command_are_files(tmp_path):
    """A device or a pipe would be read for ever."""
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/zero", "pipe"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = f"deepspeed --hostfile {place} --module openrlhf.cli.train_sft --pretrain m --dataset d"
            with contextlib.suppress(ConfigError):
                SFTConfig.from_command(text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.jsonl", b"[" * 200_000 + b"\n"), ("deep.json", b"[" * 200_000), ("nul.jsonl", b"\0" * 1000),
        ("not.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1"), ("not.arrow", b"ARROW1" + b"\xff" * 100),
        ("pickle.jsonl", b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x05mkdir\x94\x93\x94."),
        ("number.jsonl", b'{"prompt": ' + b"9" * 10_000 + b"}\n"),
    ],
)  # fmt: skip
def test_a_data_file_that_is_none_is_a_fault(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        read_rows(tmp_path / name)


def test_patches_change_their_own_rows_and_no_file(tmp_path):
    data = tmp_path / "train.jsonl"
    data.write_text(json.dumps({"prompt": "a", "response": "b"}) + "\n")
    entry = {
        "row": 1,
        "column": "../../x",
        "value": "y",
        "file": "/etc/passwd",
        "op": "set",
        "path": "../other",
    }
    (tmp_path / "train.patch.jsonl").write_text(json.dumps(entry) + "\n" + "[" * 100_000 + "\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    with contextlib.suppress(DataError):
        read_rows(data)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def calls_of(path: Path) -> list[ast.Call]:
    return [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]


def test_no_source_runs_text():
    """Statically: no shell, no eval, no pickle, no unsafe YAML, pages escape what they show, SQL comes with parameters."""
    for path in PACKAGE.rglob("*.py"):
        for call in calls_of(path):
            name, said = ast.unparse(call.func), ast.unparse(call)
            where = f"{path}:{call.lineno}: {said[:100]}"
            named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert name not in ("eval", "exec", "os.system", "os.popen", "compile", "__import__"), where
            assert not name.startswith(("pickle.", "marshal.", "shelve.", "dill.", "joblib.")), where
            assert named.get("shell", "False") == "False", where
            assert name != "yaml.load" or "_Loader" in named.get("Loader", ""), where
            if name in ("np.load", "numpy.load"):
                assert named.get("allow_pickle") == "False", where
            if name in ("subprocess.run", "subprocess.Popen", "subprocess.check_output"):
                assert call.args and not isinstance(call.args[0], (ast.JoinedStr, ast.Constant)), where
            if name in ("sa.text", "sqlalchemy.text") or name.endswith("exec_driver_sql"):
                assert isinstance(call.args[0], (ast.Constant, ast.Name, ast.JoinedStr)), where
                if isinstance(call.args[0], ast.JoinedStr):  # numbers and dates of our own
                    assert path.name == "migrations.py", where
            if name == "jinja2.Environment":
                page = named.get("autoescape") == "True"
                assert page or path.parent.name == "judging", (
                    where
                )  # a judge's prompt is text, fenced by request.py


def test_loaders_of_yaml_are_safe():
    from sftkit.command import yaml_text

    assert issubclass(yaml_text._Loader, yaml.SafeLoader)
    assert not [tag for tag in yaml_text._Loader.yaml_constructors if tag and "python" in tag]


def test_importing_sftkit_opens_nothing(tmp_path):
    """No network and no file but its own at import."""
    code = "import sys; sys.addaudithook(lambda e, a: print(e, a) if e in ('socket.connect', 'subprocess.Popen', 'os.system') else None); import sftkit, sftkit.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stdout
