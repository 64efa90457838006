"""Many runs under names, none made twice. Nothing is trained: a launch leaves a folder as a finished run does."""

from __future__ import annotations

import pytest

import sftkit as sk
from sftkit.runs import folder as disk
from sftkit.runs import launcher


@pytest.fixture
def started(monkeypatch):
    """What was launched, in order, and whether it was to wait; the runs have finished at once."""
    folders = []

    def start(folder, queue):
        folders.append((folder, queue))
        (folder / "model").mkdir()
        disk.write_status(folder, "finished", step=1, total=1)

    monkeypatch.setattr(launcher.supervisor, "start", start)
    return folders


@pytest.fixture
def config(tiny_model, tiny_rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(tiny_rows.read_bytes())
    return sk.SFTConfig(
        pretrain=str(tiny_model), dataset="rows.jsonl", max_len=128, train_batch_size=8, bf16=False
    )


def test_each_is_launched_once(config, started, tmp_path):
    configs = {"slow": config.with_(learning_rate=1e-4), "fast": config.with_(learning_rate=1e-3)}
    first = sk.launch_all(configs, "runs")
    assert list(first) == ["slow", "fast"] and [queue for _, queue in started] == [True, True]
    assert first["fast"].config.learning_rate == 1e-3
    second = sk.launch_all({**configs, "faster": config.with_(learning_rate=1e-2)}, "runs", queue=False)
    assert [second[name].id for name in configs] == [first[name].id for name in configs]
    assert [folder.name for folder, _ in started[2:]] == [second["faster"].id] and started[2][1] is False
    assert sk.launch_all(configs, "runs", again=True)["slow"].id != first["slow"].id


def test_what_is_lost_or_was_made_of_other_things_is_made_again(config, started, tmp_path, monkeypatch):
    ids = [sk.launch_all({"": config})[""].id]

    def made_anew() -> bool:
        ids.append(sk.launch_all({"": config})[""].id)
        return ids[-1] != ids[-2]

    assert not made_anew()
    disk.write_status(started[-1][0], "failed", "out of memory")
    assert made_anew()
    (started[-1][0] / "model").rmdir()
    assert made_anew()
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"prompt": "one more", "response": "row"}\n')
    assert made_anew()
    disk.write_status(started[-1][0], "queued")  # on its way
    assert not made_anew()


def test_nothing_is_started_when_one_cannot(config, started):
    with pytest.raises(sk.LaunchError, match=r"None of these runs was launched.*\n.*bad: dataset") as error:
        sk.launch_all({"good": config, "bad": config.with_(dataset="none.jsonl")})
    assert not started and error.value.findings
