"""Search in logs written by hand: all of the file, and what is added to it."""

from __future__ import annotations

from sftkit.runs import log_search
from sftkit.runs.log_search import LogSearch, plain


def found(search):
    search.go_on()
    return list(search.lines), search.count, search.total


def test_every_line_with_the_words_is_found_and_numbered(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("NCCL up\nstep 1\nsome nccl warning (a|b)\n损失 0.5\n", encoding="utf-8")
    assert found(LogSearch(log, "nccl")) == ([(1, "NCCL up"), (3, "some nccl warning (a|b)")], 2, 4)
    assert found(LogSearch(log, "损失"))[0] == [(4, "损失 0.5")]
    assert found(LogSearch(log, "(a|b)"))[1] == 1  # words, no pattern
    assert found(LogSearch(log, "nowhere")) == ([], 0, 4)


def test_what_is_added_is_found_and_a_half_line_waits(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("loss 1\nlo", encoding="utf-8")
    search = LogSearch(log, "loss")
    assert found(search) == ([(1, "loss 1")], 1, 1)
    with log.open("a", encoding="utf-8") as file:
        file.write("ss 2\n")
    assert found(search) == ([(1, "loss 1"), (2, "loss 2")], 2, 2)
    log.write_text("loss 3\n", encoding="utf-8")  # another file in its place
    assert found(search) == ([(1, "loss 3")], 1, 1)


def test_a_log_of_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(log_search, "BLOCK", 64)
    log = tmp_path / "train.log"
    lines = [f"line {number} {'needle' if number % 10 == 0 else 'hay'}" for number in range(1, 501)]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shown, count, total = found(LogSearch(log, "NEEDLE", limit=3))
    assert (count, total) == (50, 500)
    assert shown == [(480, lines[479]), (490, lines[489]), (500, lines[499])]


def test_a_line_longer_than_a_block_does_not_hold_it_up(tmp_path, monkeypatch):
    monkeypatch.setattr(log_search, "BLOCK", 64)
    log = tmp_path / "train.log"
    log.write_text("x" * 300 + "\nneedle\n", encoding="utf-8")
    assert found(LogSearch(log, "needle")) == ([(2, "needle")], 1, 2)


def test_what_a_terminal_would_not_show_is_no_match(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("10% slow\r50% slow\rdone\n\x1b[31mred\x1b[0m\n", encoding="utf-8")
    assert found(LogSearch(log, "slow")) == ([], 0, 2)
    assert found(LogSearch(log, "[31m"))[1] == 0
    assert found(LogSearch(log, "red"))[0] == [(2, "red")]
    assert plain("a\rb\r\n") == "b\n"


def test_no_file_is_no_match(tmp_path):
    assert found(LogSearch(tmp_path / "train.log", "x")) == ([], 0, 0)
