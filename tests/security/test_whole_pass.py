"""A whole pass with planted secrets, and then every byte it wrote and every command line it had: none is there.

And where the processes of that pass listened: on loopback alone.
"""

from __future__ import annotations

import base64
import gzip
import io
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.security import whole_pass
from tests.security.watching import Watch
from tests.security.whole_pass import IN_ADDRESSES, KEYS, SECRETS, Pass


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Pass:
    return whole_pass.go(tmp_path_factory.mktemp("whole_pass"))


def in_all_forms(secret: str) -> list[bytes]:
    """As it is, in base64 at any offset of it (Basic authentication), quoted, and the middle of it alone."""
    plain = secret.encode()
    coded = [base64.b64encode(b"x" * shift + plain)[4 * (shift > 0) :][:-4] for shift in range(3)]
    return [plain, *coded, plain[6:-3]]


def contents(path: Path) -> Iterator[bytes]:
    """What a file holds: its bytes, and what is packed in them."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            yield from (packed.read(name) for name in packed.namelist())
    elif data[:4] == b"PAR1":
        yield repr(pyarrow.parquet.read_table(path).to_pylist()).encode()
        yield repr(pyarrow.parquet.read_schema(path).metadata).encode()
    elif data[:15] == b"SQLite format 3":
        with sqlite3.connect(path) as connection:
            yield "\n".join(connection.iterdump()).encode()


def where(folder: Path, secrets: list[str]) -> list[str]:
    """Files under a folder that hold a secret, in its name or inside."""
    wanted = [form for secret in secrets for form in in_all_forms(secret)]
    found = []
    for path in folder.rglob("*"):
        inside = contents(path) if path.is_file() and not path.is_symlink() else ()
        if any(form in text for text in (str(path).encode(), *inside) for form in wanted):
            found.append(str(path.relative_to(folder)))
    return found


def test_the_pass_was_a_whole_one(left):
    """Else there would be nothing to find."""
    written = {path.name for path in left.folder.rglob("*")}
    assert {"run.json", "train.log", "ratings.db", "ratings.csv", "report.html", "answers.parquet", "debug.log"} <= written  # fmt: skip
    assert "finished" in min(left.folder.glob("runs/*/status.json")).read_text()  # the first of two
    assert KEYS["OPENAI_API_KEY"] in left.keys_received
    failed = [output["ename"] for cell in left.notebook.cells for output in cell.outputs if output.output_type == "error"]  # fmt: skip
    assert failed == ["LaunchError", "JudgeError", "StoreError", "StoreError", "ZeroDivisionError"]
    told = (left.folder / "notebook.ipynb").read_text() + (left.folder / "terminal.txt").read_text()
    assert "planted 401 for the key ***" in told  # the endpoint repeated it
    assert "ana:***@127.0.0.1" in told


@pytest.mark.parametrize("name", [*KEYS, *IN_ADDRESSES])
def test_no_secret_is_in_a_file(left, name):
    assert not where(left.folder, [(KEYS | IN_ADDRESSES)[name]])


@pytest.mark.parametrize("kind", ["plain", "gzip", "zip", "parquet", "sqlite", "basic"])
def test_the_search_finds_what_is_there(tmp_path, kind):
    secret, path = SECRETS[0], tmp_path / "file"
    if kind == "plain":
        path.write_text(f"key {secret}")
    elif kind == "gzip":
        path.write_bytes(gzip.compress(secret.encode()))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a", secret)
    elif kind == "parquet":
        table = pyarrow.table({"a": [secret[:20] + secret[20:]] * 9})
        pyarrow.parquet.write_table(table, path, compression="zstd")
    elif kind == "sqlite":
        with sqlite3.connect(path) as connection:
            connection.execute("create table a (b)")
            connection.execute("insert into a values (?)", [secret])
    else:
        path.write_bytes(b"Authorization: Basic " + base64.b64encode(b"ana:" + secret.encode()))
    assert where(tmp_path, [secret]) == ["file"]


def test_no_secret_is_in_a_command_line(left):
    words = b"\n".join(left.watch.words.values())
    for kind in (b"sftkit.training.worker", b"sftkit.runs.supervisor", b"sftkit.generation.worker", b"sftkit.cli"):  # fmt: skip
        assert kind in words, f"{kind!r} was never seen"
    assert not [secret for secret in SECRETS if secret.encode() in words]


def test_training_listens_on_loopback_alone(left):
    """Two ranks: their meeting point and gloo's sockets; the notebook's kernel, and the trackers' own processes."""
    workers = [who for _, who in left.watch.listening if "sftkit.training.worker" in who]
    assert len(workers) >= 2, left.watch.listening
    assert not left.watch.open_to_others


def test_the_watch_sees_who_is_open_to_others(tmp_path):
    import subprocess
    import sys
    import time

    code = "import socket, sys; s = socket.create_server(('0.0.0.0', 0)); print('up', flush=True); sys.stdin.read()"
    with Watch(str(tmp_path), every=0.02) as watch:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"SFTKIT_WATCHED": str(tmp_path)}
        )  # fmt: skip
        process.stdout.readline()
        until, looks = time.monotonic() + 60, watch.looks
        while watch.looks < looks + 2 and time.monotonic() < until:
            time.sleep(0.02)
        process.communicate()
    assert len(watch.open_to_others) == 1
