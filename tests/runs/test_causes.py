"""Which rank died first, of what: from error files, exit codes and last words."""

from __future__ import annotations

import json

import pytest

from sftkit.runs import causes

GLOO = {
    "type": "RuntimeError",
    "message": "[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4711",
}


def left(folder, rank: int, time: float = 0.0, **error) -> None:
    causes.error_file(folder, rank).write_text(json.dumps(error | {"time": time}), encoding="utf-8")


def test_the_earliest_exception_is_the_cause(tmp_path):
    left(tmp_path, 0, 2.0, type="ValueError", message="late")
    left(tmp_path, 1, 1.0, type="KeyError", message="early")
    assert causes.first_cause(tmp_path, {0: 1, 1: 1}) == "rank 1: KeyError: early"


def test_an_echo_is_not_the_cause_even_when_it_is_heard_first(tmp_path):
    left(tmp_path, 0, 1.0, **GLOO)
    left(tmp_path, 1, 2.0, type="ValueError", message="bad row")
    assert causes.first_cause(tmp_path, {0: 1, 1: 1}) == "rank 1: ValueError: bad row"


def test_a_signal_goes_before_its_echo(tmp_path):
    left(tmp_path, 0, 1.0, **GLOO)
    assert causes.first_cause(tmp_path, {0: 1, 1: -9}).startswith("rank 1 was ended by SIGKILL")


def test_an_abort_after_an_exception_is_not_the_cause(tmp_path):
    left(tmp_path, 0, 1.0, type="ValueError", message="bad row")
    assert causes.first_cause(tmp_path, {1: -6, 0: 1}).startswith("rank 0: ValueError")


def test_an_echo_alone_is_told(tmp_path):
    left(tmp_path, 0, 1.0, **GLOO)
    assert "Connection closed by peer" in causes.first_cause(tmp_path, {0: 1})


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "SIGKILL: killed from outside or out of memory"), (-11, "SIGSEGV"), (-7, "SIGBUS"), (-64, "SIG")],
)
def test_signals_have_names(tmp_path, code, words):
    assert words in causes.first_cause(tmp_path, {0: code})


def test_the_oom_killer_is_named_when_it_was_at_work(tmp_path):
    assert "OOM killer" in causes.first_cause(tmp_path, {0: -9}, out_of_memory=True)


def test_the_place_is_the_innermost_of_ours(tmp_path):
    traceback = (
        'Traceback:\n  File "/a/sftkit/training/worker.py", line 5, in main\n    train()\n'
        '  File "/a/sftkit/training/loop.py", line 70, in train\n    x()\n'
        '  File "/lib/torch/nn/module.py", line 1, in forward\nValueError: x'
    )
    left(tmp_path, 0, type="ValueError", message="x", traceback=traceback)
    assert causes.first_cause(tmp_path, {0: 1}) == "rank 0: ValueError: x (loop.py:70 in train)"


def test_a_long_message_is_cut_and_a_broken_file_borne(tmp_path):
    left(tmp_path, 0, type="ValueError", message="x" * 5000)
    assert len(causes.first_cause(tmp_path, {0: 1})) < 1100
    causes.error_file(tmp_path, 0).write_text("{")
    assert "cannot be read" in causes.first_cause(tmp_path, {0: 1})


def test_last_words_of_a_rank_without_an_error_file(tmp_path):
    causes.rank_log(tmp_path, 0).write_text(
        "Traceback\n  File x\nModuleNotFoundError: No module named 'y'\n\n"
    )
    assert causes.first_cause(tmp_path, {0: 1}).endswith(
        "exit code 1: ModuleNotFoundError: No module named 'y'"
    )
    assert causes.first_cause(tmp_path, {1: 2}) == "rank 1 left with exit code 2: it printed nothing"


def test_a_taken_port_is_seen_in_either_place(tmp_path):
    assert not causes.port_taken(tmp_path, 2)
    left(
        tmp_path,
        0,
        type="DistNetworkError",
        message="code: -98, name: EADDRINUSE, message: address already in use",
    )
    assert causes.port_taken(tmp_path, 2)
    causes.forget(tmp_path)
    assert not causes.port_taken(tmp_path, 2)
    causes.rank_log(tmp_path, 1).write_text("OSError: [Errno 98] Address already in use\n")
    assert causes.port_taken(tmp_path, 2)
