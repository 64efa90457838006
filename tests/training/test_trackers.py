"""Trackers: what reaches tensorboard, wandb and mlflow of a real run, and that none of them can harm it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.errors import RunError
from sftkit.training import trackers
from tests.conftest import TrainedRun, train

ALL = ("tensorboard", "wandb", "mlflow")
KEY = "0123456789abcdef0123456789abcdef01234567"


def test_a_line_in_numbers():
    line = {"step": 3, "loss": 1, "eval_loss_by_task": {"sum, 总和:": 0.5}, "note": "text", "none": None}
    assert trackers.flat(line) == {"loss": 1.0, "eval_loss_by_task/sum_ 总和_": 0.5}


def test_what_is_not_installed_is_said_before_training(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else name)
    trackers.require({"report_to": None})
    trackers.require({"report_to": ["mlflow"]})
    with pytest.raises(RunError, match=r'wandb not installed: pip install "sftkit-jupyter\[wandb\]"'):
        trackers.require({"report_to": ["mlflow", "wandb"]})


class Fake:
    """A FAKE tracker: keeps what it gets."""

    where = "nowhere"
    got: list = []

    def __init__(self, settings, folder, step):
        type(self).got = [("open", step)]

    def log(self, step, numbers):
        self.got.append((step, numbers))

    def close(self, state):
        self.got.append(state)


class Broken(Fake):
    def log(self, step, numbers):
        raise ConnectionError("http://ana:secret@host refuses")


class Slow(Fake):
    def log(self, step, numbers):
        time.sleep(60)


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    monkeypatch.setattr(trackers, "_KINDS", {"fake": Fake, "broken": Broken, "slow": Slow})
    said = []
    return lambda *names: trackers.Trackers({"report_to": names}, tmp_path, said.append), said


def test_one_that_breaks_is_named_once_and_hurts_no_other(fakes):
    opened, said = fakes
    all_of_them = opened("broken", "fake")
    for step in (1, 2, 3):
        all_of_them.log({"step": step, "loss": 0.5})
    all_of_them.close("finished")
    assert Fake.got == [("open", 1), *((step, {"loss": 0.5}) for step in (1, 2, 3)), "finished"]
    broken = [text for text in said if text.startswith("broken gets no more metrics, the run goes on")]
    assert len(broken) == 1 and "secret" not in broken[0]


def test_one_that_hangs_holds_the_run_up_for_a_limited_time(fakes, monkeypatch):
    monkeypatch.setattr(trackers, "CLOSE_LIMIT", 0.2)
    opened, said = fakes
    slow = opened("slow")
    begin = time.monotonic()
    slow.log({"step": 1, "loss": 0.5})
    slow.close("finished")
    assert time.monotonic() - begin < 5
    assert "slow does not answer" in said[-1]


def test_none_asked_for(fakes):
    opened, said = fakes
    nothing = opened()
    nothing.log({"step": 1, "loss": 0.5})
    nothing.close("failed")
    assert not said


@pytest.fixture(scope="module")
def tracked(tiny_model, tiny_rows, tmp_path_factory) -> TrainedRun:
    """Four steps in two starts: stopped after the first, resumed. All three trackers, into files."""
    for name in ALL:
        pytest.importorskip(name, reason=f"NOT TESTED: {name} is not installed")
    folder = tmp_path_factory.mktemp("tracked") / "run 1"
    config = SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), eval_dataset=str(tiny_rows), bf16=False, zero_stage=1,
        train_batch_size=16, learning_rate=3e-3, report_to=ALL,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB_MODE", "offline")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder.mkdir()
        (folder / "stop").touch()
        first = train(folder, config)
        assert first.status["state"] == "stopped", first.log
        (folder / "stop").unlink()
        return train(folder, config, resume=True)


def test_tensorboard(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked.folder / "tensorboard")).Reload()
    points = events.Scalars("loss")
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert [point.value for point in points] == pytest.approx(tracked.column("loss"), rel=1e-5)
    assert "eval_loss_by_task/plain sum" in events.Tags()["scalars"]
    assert any(tag.startswith("settings") for tag in events.Tags()["tensors"])


def test_mlflow(tracked, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tracked.folder / "mlruns").as_uri())
    (experiment,) = [found for found in client.search_experiments() if found.name == "sftkit"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "run 1"
    assert run.data.params["learning_rate"] == "0.003"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert {point.step: point.value for point in history} == pytest.approx(
        dict(zip((1, 2, 3, 4), tracked.column("loss"), strict=True))
    )


def wandb_records(path: Path) -> Iterator[bytes]:
    """The records of a .wandb file: 7 bytes of head, then blocks of 32 KiB with pieces of crc (4), length (2), kind (1)."""
    text, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(text):
        if 32_768 - place % 32_768 < 7:  # no piece begins in the last bytes of a block
            place += 32_768 - place % 32_768
            continue
        length, kind = int.from_bytes(text[place + 4 : place + 6], "little"), text[place + 6]
        record += text[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b""


def test_wandb(tracked):
    from wandb.proto import wandb_internal_pb2

    losses, states = {}, []
    for path in sorted(tracked.folder.glob("wandb/offline-run-*/*.wandb")):
        assert path.name == "run-run-1.wandb"  # one run for both starts
        for found in wandb_records(path):
            record = wandb_internal_pb2.Record.FromString(found)
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            if "loss" in items:
                losses[int(float(items["step"]))] = json.loads(items["loss"])
            if record.HasField("exit"):
                states.append(record.exit.exit_code)
    assert losses == pytest.approx(dict(zip((1, 2, 3, 4), tracked.column("loss"), strict=True)))
    assert states == [0, 0]


def test_no_key_is_written_down(tracked):
    files = [path for path in tracked.folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_server_that_is_not_there(tiny_model, tiny_rows, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="NOT TESTED: mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ana:secret@127.0.0.1:9")
    config = SFTConfig(pretrain=str(tiny_model), dataset=str(tiny_rows), bf16=False, report_to=("mlflow",))
    run = train(tmp_path / "run", config)
    assert run.status["state"] == "finished"
    assert run.log.count("mlflow gets no more metrics, the run goes on") == 1
    assert "secret" not in run.log
