"""What the command line shows of others' texts obeys nobody; what it is given in the open, it warns of."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from sftkit.terminal import console_of, harmless, warn_of_passwords
from tests.security.test_run_folder import make

ORDERS = "a\x1b]0;title\x07b\x1b[2J\x9b1;31mc\x08\rd\x7f\u202etxt.exe"


def test_a_terminal_gets_no_orders():
    file = io.StringIO()
    console = console_of(file=file, force_terminal=False, width=200)
    table = Table("x" + ORDERS)
    table.add_row(Text(ORDERS))
    console.print(ORDERS)
    console.print(table)
    told = file.getvalue()
    assert told.count("txt.exe") == 3
    assert told == harmless(told)


def test_colours_of_our_own_stay():
    file = io.StringIO()
    console_of(file=file, force_terminal=True, color_system="standard").print("red" + ORDERS, style="red")
    assert "\x1b[31m" in file.getvalue()
    assert "\x1b]0" not in file.getvalue() and "\x1b[2J" not in file.getvalue()


def test_lines_and_tabs_stay():
    assert harmless("one\n\ttwo 中文 é") == "one\n\ttwo 中文 é"


def test_last_words_of_a_run_give_no_orders(sftkit, tmp_path):
    status = json.dumps({"state": "failed", "reason": ORDERS})
    make(tmp_path / "runs" / "evil", status_json=status, train_log=ORDERS + "\n")
    told = sftkit("runs")
    assert "evil" in told and "txt.exe" in told
    assert told == harmless(told)


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["report", "postgresql://ana:secret@host/db"], True),
        (["judge", "--base-url=http://ana:secret@host/v1"], True),
        (["report", "postgresql://ana@host/db"], False),
        (["report", "sqlite:///a@b.db"], False),
        (["launch", "--dataset", "owner/name@part"], False),
    ],
)
def test_a_password_in_the_command_line_is_warned_of(words, warned, capsys):
    warn_of_passwords(words)
    told = capsys.readouterr().err
    assert ("PGPASSWORD" in told) == warned
    assert "secret" not in told
