"""Everything that a user does, in a notebook and in a terminal, with secrets in the environment and in addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from sftkit.judging import fake_server
from tests.conftest import write_model, write_rows, write_tokenizer
from tests.security.watching import Watch

# As the real ones look, so that whatever hides such shapes is tested; none is anybody's.
KEYS = {
    "OPENAI_API_KEY": "sk-planted-9f3aXw71Qm2Lk8Zt0Vb6Yc4Rd5",
    "HF_TOKEN": "hf_plantedQwErTyUiOpAsDfGhJkLzXcVbNm",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef0badcafe",
    "SFTKIT_RATE_TOKEN": "planted-rate-token-5w8x2k9q",
    "MLFLOW_TRACKING_PASSWORD": "plantedMlflowPw77xq",
}
IN_ADDRESSES = {"database": "plantedDbPw31kz", "endpoint": "plantedUrlPw62vh"}
SECRETS = [*KEYS.values(), *IN_ADDRESSES.values()]

# A cell that fails shows its traceback, which is kept with the notebook: so does every user's.
CELLS = [
    """
import os, traceback, warnings
import sftkit as sk
config = sk.SFTConfig(pretrain="model", dataset="train.jsonl", eval_dataset="train.jsonl", train_batch_size=8,
    micro_train_batch_size=4, max_samples=16, max_len=96, zero_stage=2, bf16=False, num_processes=2, save_steps=1,
    sample_tokens=8, report_to=("wandb",))
print(config.to_code()); [print(finding) for finding in sk.preflight(config)]
run = sk.launch(config)
print(run.wait(300)); run
""",
    "assert run.status.state == 'finished', run.log(60)\nprint(run.log(500)); run.metrics()",
    """
broken = sk.launch(config.with_(num_processes=1, report_to=None, max_samples=8, train_batch_size=4, lr_scheduler="linear"), queue=False)
broken.kill(); print(broken.status)
""",
    'sk.launch(sk.SFTConfig(pretrain="nobody/no-such-model", dataset="train.jsonl"))',
    """
answers = sk.generate({"base": "model", "tuned": run}, "train.jsonl", limit=3, max_new_tokens=8)
answers.save("answers.parquet"); answers
""",
    'store = sk.RatingStore("sqlite:///ratings.db"); store.register(answers); store',
    """
url = os.environ["FAKE_URL"]
judge = sk.Judge("fake-judge", base_url=url, max_retries=1, questions="off")
print(judge, judge.estimate(answers, store)); judge.rate(answers, store=store); judge
""",
    "sk.JudgePanel(answers, store=store, judge=judge)",
    # an endpoint that refuses, and repeats the key while it does
    'sk.Judge("fake-judge", base_url=os.environ["ANGRY_URL"], max_retries=0, questions="off").rate(answers, store=sk.RatingStore("sqlite:///angry.db"))',
    'os.environ["OPENAI_BASE_URL"] = os.environ["URL_WITH_PASSWORD"]\nprint(sk.Judge("fake-judge")); sk.JudgePanel(answers, store=store, judge=sk.Judge("fake-judge"))',
    'sk.Judge("fake-judge", max_retries=0, questions="off", repeats=2).rate(answers, store=store)',
    'sk.RatingStore(os.environ["DB_URL"])',
    'sk.RatingStore(os.environ["DB_URL"].replace("://", ":/"))',
    'sk.ComparisonGrid(answers, store=store, rater="ana")',
    'report = sk.Report(store); report.to_html("report.html"); report.to_csv("tables"); store.export("ratings.csv"); store.export("ratings.parquet"); report',
    "sk.RunMonitor(run)",
    "sk.LaunchForm(config)",
    "sk.list_runs('runs')",
    "1 / 0",
]

COMMANDS = [
    ["judge", "answers.parquet", "--model", "fake-judge", "--base-url", "FAKE_URL", "--estimate"],
    ["report", "--html", "again.html"], ["launch", "--pretrain", "nowhere", "--dataset", "train.jsonl"],
]  # fmt: skip


@dataclass
class Pass:
    """What a whole pass left, and what was seen meanwhile."""

    folder: Path
    watch: Watch
    notebook: nbformat.NotebookNode
    keys_received: list[str | None]


def go(folder: Path) -> Pass:
    """One pass in `folder`, where everything is written: home, caches and temporary files too."""
    write_tokenizer(folder / "model")
    write_model(folder / "model")
    write_rows(folder / "train.jsonl", 24)
    with (
        fake_server.FakeJudgeServer() as fake,
        fake_server.FakeJudgeServer(faults={"401": 1.0}) as angry,
        Watch(str(folder)) as watch,
    ):
        environment = _environment(folder, fake.base_url, angry.base_url)
        notebook = _notebook(folder, environment)
        _commands(folder, environment, fake.base_url)
        return Pass(folder, watch, notebook, fake.keys + angry.keys)


def _environment(folder: Path, fake: str, angry: str) -> dict[str, str]:
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    home = str(folder / "home")
    password = IN_ADDRESSES["endpoint"]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "JUPYTER", "HF_"))},
        **KEYS, "HOME": home, "XDG_CACHE_HOME": f"{home}/.cache", "TMPDIR": str(folder / "temporary"),
        "SFTKIT_WATCHED": str(folder), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "FAKE_URL": fake,
        "ANGRY_URL": angry, "URL_WITH_PASSWORD": fake.replace("://", f"://ana:{password}@"),
        "DB_URL": f"postgresql+psycopg://ana:{IN_ADDRESSES['database']}@127.0.0.1:1/none",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip


def _notebook(folder: Path, environment: dict[str, str]) -> nbformat.NotebookNode:
    """The cells run and saved, with the state of their widgets, by a kernel that has the secrets in its environment."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    client = NotebookClient(
        notebook, timeout=400, allow_errors=True, store_widget_state=True, resources={"metadata": {"path": str(folder)}}
    )  # fmt: skip
    client.execute(env=environment)
    nbformat.write(notebook, folder / "notebook.ipynb")
    return notebook


def _commands(folder: Path, environment: dict[str, str], url: str) -> None:
    with (folder / "terminal.txt").open("wb") as terminal:
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "sftkit.cli",
                    *(url if word == "FAKE_URL" else word for word in words),
                ],
                cwd=folder,
                env={**environment, "COLUMNS": "300"},
                stdout=terminal,
                stderr=terminal,
            )
            for words in COMMANDS
        ]
        for process in running:
            process.wait(200)
