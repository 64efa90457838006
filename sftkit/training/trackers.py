"""Trackers beside our own metrics file: tensorboard, wandb, mlflow (`report_to`). Rank 0 sends, in a thread of its own.

A tracker is a guest: it is imported after the first step, the training never waits for its network, and what goes wrong
in it is said once in the log. Files go into the run's folder unless the environment says otherwise (WANDB_API_KEY,
MLFLOW_TRACKING_URI …); keys come from there only. A resumed run goes on in the same run of the tracker.
"""

from __future__ import annotations

import math
import netrc
import os
import queue
import re
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sftkit.errors import RunError
from sftkit.wording import shown_address

CLOSE_LIMIT = 20.0  # seconds that the end of a run waits for its trackers, all together
PROJECT = "sftkit"  # the project or experiment, unless the environment names another


def require(settings: dict[str, Any]) -> None:
    """Raise RunError, before anything is trained, when a tracker that is asked for is not installed."""
    missing = [name for name in settings.get("report_to") or () if find_spec(name) is None]
    if missing:
        raise RunError(f'{", ".join(missing)} not installed: pip install "sftkit-jupyter[{",".join(missing)}]", or leave it out of report_to.')  # fmt: skip


class Trackers:
    """All trackers of a run. With none asked for, nothing happens and nothing is imported."""

    def __init__(self, settings: dict[str, Any], folder: Path, say: Callable[[str], None] = print):
        names = settings.get("report_to") or ()
        self._threads = [_Thread(name, settings, folder, say) for name in names]

    def log(self, line: dict[str, Any]) -> None:
        """Send one line of metrics.jsonl. Returns at once."""
        numbers = flat(line)
        for thread in self._threads:
            thread.lines.put((int(line["step"]), numbers))

    def close(self, state: str) -> None:
        """Send what is left and end the trackers' runs as `state` says; what takes longer than CLOSE_LIMIT is left."""
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.lines.put(state)
        for thread in threads:
            thread.join(CLOSE_LIMIT / len(threads))
            if thread.is_alive():
                thread.say(f"{thread.name} does not answer: its last lines are lost; metrics.jsonl has them.")


def flat(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line by name, those by task as `eval_loss_by_task/<task>`, in characters that every tracker takes."""
    found = {}
    for name, value in line.items():
        inner = value if isinstance(value, dict) else {"": value}
        for key, number in inner.items():
            full = f"{name}/{key}" if key else name
            if name != "step" and isinstance(number, (int, float)):
                found[re.sub(r"[^\w./ -]", "_", full)] = float(number)
    return found


class _Thread(threading.Thread):
    """One tracker, from its import to its end."""

    def __init__(self, name: str, settings: dict[str, Any], folder: Path, say: Callable[[str], None]):
        super().__init__(name=name, daemon=True)
        self.settings, self.folder, self.say = settings, folder, say
        self.lines: queue.SimpleQueue = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        try:
            self._send()
        except Exception as error:
            words = shown_address(f"{type(error).__name__}: {error}")
            self.say(f"{self.name} gets no more metrics, the run goes on: {words[:300]}")

    def _send(self) -> None:
        first = self.lines.get()  # a line, or the end of a run that never logged
        if isinstance(first, str):
            return
        tracker = _KINDS[self.name](self.settings, self.folder, first[0])
        self.say(f"{self.name}: {tracker.where}")
        item = first
        while not isinstance(item, str):
            tracker.log(*item)
            item = self.lines.get()
        tracker.close(item)


class TensorBoard:
    """Event files in tensorboard/."""

    def __init__(self, settings: dict[str, Any], folder: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        # purge_step: points of an earlier start after the checkpoint that this one goes on from are hidden.
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        table = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        self.writer.add_text("settings", f"| setting | value |\n|---|---|\n{table}", step)
        self.where = shlex.join(["tensorboard", "--logdir", str(folder / "tensorboard")])

    def log(self, step: int, numbers: dict[str, float]) -> None:
        for name, number in numbers.items():
            self.writer.add_scalar(name, number, step)
        self.writer.flush()

    def close(self, state: str) -> None:
        self.writer.close()


class Wandb:
    """Weights & Biases: online with a key (WANDB_API_KEY, or `wandb login`), else files in wandb/ for `wandb sync`."""

    def __init__(self, settings: dict[str, Any], folder: Path, step: int):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its own crashes, to its makers
        import wandb

        quiet = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, init_timeout=60
        )
        mode = os.environ.get("WANDB_MODE") or ("online" if _wandb_key() else "offline")
        name = re.sub(r"[^\w.-]", "-", folder.name)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=name,
            name=folder.name,
            dir=str(folder),
            mode=mode,
            resume="allow",
            config=settings,
            settings=quiet,
        )
        self.run.define_metric(
            "*", step_metric="step"
        )  # wandb's own step never goes back, that of a resumed run does
        offline = shlex.join(["wandb", "sync", self.run.dir.removesuffix("/files")])
        self.where = self.run.url if mode == "online" else offline

    def log(self, step: int, numbers: dict[str, float]) -> None:
        self.run.log({"step": step, **numbers})

    def close(self, state: str) -> None:
        self.run.finish(exit_code=int(state == "failed"))


def _wandb_key() -> bool:
    """Whether wandb has a key, without asking it: it would ask the user, who has no terminal here."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with suppress(OSError, netrc.NetrcParseError):
        if netrc.netrc(os.environ.get("NETRC")).authenticators(host):
            return True
    return bool(os.environ.get("WANDB_API_KEY"))


class MLflow:
    """MLflow: the server of MLFLOW_TRACKING_URI, else files in mlruns/."""

    def __init__(self, settings: dict[str, Any], folder: Path, step: int):
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seven with growing pauses, else
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it reports how it is used to its makers
        os.environ.setdefault(
            "MLFLOW_ALLOW_FILE_STORE", "true"
        )  # its other local store needs the whole of mlflow
        from mlflow import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").as_uri()
        self.client = MlflowClient(tracking_uri=place)
        self.run, kept = "", folder / "mlflow-run-id"
        if kept.exists():
            self.run = kept.read_text(encoding="utf-8").strip()
            self.client.update_run(self.run, status="RUNNING")
        else:
            self.run = self._create(folder.name)
            kept.write_text(self.run, encoding="utf-8")
            for name, value in settings.items():
                self.client.log_param(self.run, name, str(value)[:500])
        self.where = f"run {self.run} in {shown_address(place)}"

    def _create(self, name: str) -> str:
        wished = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self.client.get_experiment_by_name(wished)
        experiment = known.experiment_id if known else self.client.create_experiment(wished)
        return self.client.create_run(experiment, run_name=name).info.run_id

    def log(self, step: int, numbers: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite = {name: number for name, number in numbers.items() if math.isfinite(number)}
        self.client.log_batch(self.run, [Metric(name, number, now, step) for name, number in finite.items()])

    def close(self, state: str) -> None:
        ends = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
        self.client.set_terminated(self.run, ends[state])


_KINDS = {"tensorboard": TensorBoard, "wandb": Wandb, "mlflow": MLflow}
