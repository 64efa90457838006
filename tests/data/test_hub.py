"""Data from the hub: `datasets` itself, over HTTP, against a stand-in for the hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

TOKEN = "hf_" + "verysecrettoken"
SHA = "0123456789abcdef0123456789abcdef01234567"
SUBSETS = """---
configs:
- config_name: easy
  data_files: easy.jsonl
- config_name: hard
  data_files: hard.jsonl
---
"""


def lines(*prompts: str) -> bytes:
    return "".join(json.dumps({"prompt": prompt, "response": "r"}) + "\n" for prompt in prompts).encode()


REPOS = {
    "ana/plain": {"train.jsonl": lines("a", "b"), "test.jsonl": lines("held out"), "more/rows.jsonl": lines("c")},
    "ana/subsets": {"README.md": SUBSETS.encode(), "easy.jsonl": lines("1+1"), "hard.jsonl": lines("17*19")},
    "ana/gated": {"train.jsonl": lines("secret")},
}  # fmt: skip


@dataclass
class Hub:
    """What the stand-in was asked, and which tokens it heard."""

    url: str
    tokens: set[str | None] = field(default_factory=set)


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        self.hub.tokens.add(token)
        path = unquote(self.path.split("?")[0]).strip("/")
        api = path.startswith("api/datasets/")
        parts = path.removeprefix("api/").removeprefix("datasets/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        if token and TOKEN not in token:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif name not in REPOS:
            self.refuse(404 if token else 401, "RepoNotFound")
        elif name == "ana/gated" and (not api or rest == ["auth-check"]):
            self.refuse(403 if token else 401, "GatedRepo")
        elif api and (found := self.described(name, rest)):
            self.answer(json.dumps(found).encode(), "application/json")
        elif (content := REPOS[name].get("/".join(rest[2:]))) is not None:
            self.answer(content, "application/octet-stream")
        else:
            self.refuse(404, "EntryNotFound")

    do_HEAD = do_POST = do_GET

    def described(self, name: str, rest: list[str]) -> object:
        """The repository, or a list of its files."""
        files = [{"type": "file", "path": path, "size": len(content), "oid": SHA} for path, content in REPOS[name].items()]  # fmt: skip
        if rest[:1] == ["paths-info"]:
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
            return [file for file in files if file["path"] in asked]
        if rest[:1] == ["tree"]:
            folder = Path(*rest[2:])
            below = [file for file in files if Path(file["path"]).is_relative_to(folder)]
            folders = {Path(file["path"]).parent for file in below} - {folder}
            listed = [{"type": "directory", "path": str(path), "size": 0, "oid": SHA} for path in folders]
            return listed + [file for file in below if Path(file["path"]).parent == folder]
        siblings = [{"rfilename": file["path"]} for file in files]
        return {"id": name, "sha": SHA, "private": False, "gated": False, "tags": [], "siblings": siblings}

    def answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        for header, value in {"Content-Type": kind, "Content-Length": len(content), "ETag": f'"{hash(content)}"', "X-Repo-Commit": SHA}.items():  # fmt: skip
            self.send_header(header, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str, message: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    handler = type("HubHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler.hub
    server.shutdown()
    server.server_close()


CODE = """
import sys
from sftkit.config import SFTConfig
from sftkit.data import read_examples
from sftkit.errors import DataError

config = SFTConfig(pretrain="m", **eval(sys.argv[1]))
try:
    for example in read_examples(config, sys.argv[2], hub=True):
        print("ROW", example.source, example.row, example.messages[0]["content"])
except DataError as error:
    print("FAULT", error)
"""


def ask(
    hub: Hub,
    folder: Path,
    split: str = "train",
    token: str | None = None,
    offline: bool = False,
    **settings: object,
) -> list[str]:
    """What a process of its own reads or says, with nothing in its cache."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    env |= {"HF_TOKEN": token} if token else {}
    env |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    command = [sys.executable, "-c", CODE, repr({"dataset": "unused", **settings}), split]
    done = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert token is None or token not in done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("ROW", "FAULT"))]


def test_rows_by_split_and_beside_a_file(hub, tmp_path):
    (tmp_path / "own.jsonl").write_bytes(lines("mine"))
    read = ask(hub, tmp_path, dataset="ana/plain, own.jsonl", dataset_split="train")
    assert read == ["ROW ana/plain 1 a", "ROW ana/plain 2 b", "ROW own.jsonl 1 mine"]
    assert ask(hub, tmp_path, "eval", eval_dataset="ana/plain") == ["ROW ana/plain 1 held out"]
    [fault] = ask(hub, tmp_path, dataset="ana/plain", dataset_split="dev")
    assert "has no split 'dev'; it has train, test. Name one of them as dataset_split" in fault


def test_a_subset_or_a_folder_behind_an_at_sign(hub, tmp_path):
    assert ask(hub, tmp_path, dataset="ana/subsets@hard") == ["ROW ana/subsets@hard 1 17*19"]
    assert ask(hub, tmp_path, dataset="ana/plain@more") == ["ROW ana/plain@more 1 c"]
    [fault] = ask(hub, tmp_path, dataset="ana/subsets")
    assert "has several subsets: 'easy', 'hard'. Name one as ana/subsets@SUBSET." in fault


def test_gated_and_missing_data_say_what_to_do(hub, tmp_path):
    [gated] = ask(hub, tmp_path, dataset="ana/gated")
    assert "FAULT ana/gated: is gated, and HF_TOKEN is not set. Ask for access" in gated
    [asked] = ask(hub, tmp_path, dataset="ana/gated", token=TOKEN)
    assert "is gated, and the account of the token in HF_TOKEN has no access yet" in asked
    [missing] = ask(hub, tmp_path, dataset="ana/absent")
    assert "FAULT ana/absent: is no data set on the hub, or a private one, which needs HF_TOKEN" in missing
    [hidden] = ask(hub, tmp_path, dataset="ana/absent", token=TOKEN)
    assert "is no data set on the hub, or one that HF_TOKEN may not see" in hidden
    assert f"Bearer {TOKEN}" in hub.tokens  # it went to the hub, and nowhere else


def test_a_token_that_the_hub_does_not_know(hub, tmp_path):
    [fault] = ask(hub, tmp_path, dataset="ana/plain", token="hf_wrongtoken")
    assert "does not know the token in HF_TOKEN" in fault


def test_offline(hub, tmp_path):
    [fault] = ask(hub, tmp_path, dataset="ana/plain", offline=True)
    assert "could not be loaded from the hub: ConnectionError" in fault
