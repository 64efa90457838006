"""Preflight of what has to be fetched: against a stand-in for the hub on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sftkit.runs import check_hub, preflight
from tests.runs.provoking import provokes
from tests.runs.test_preflight import one, settings, world

__all__ = ["world"]  # the fixture
TOKEN = "hf_" + "verysecrettoken"
GATED, THERE, BARE, SLOW, SICK = "ana/gated", "ana/there", "ana/bare", "ana/slow", "ana/sick"


class Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.asked.append(self.path)
        name = "/".join(self.path.removeprefix("/api/datasets").strip("/").split("/")[:2])
        if token and token != TOKEN:
            self.refuse(401, "")
        elif name == SLOW:
            time.sleep(1.0)
            self.refuse(200, "")
        elif name == GATED:
            self.refuse(403 if token else 401, "GatedRepo")
        elif name in (BARE, SICK):
            self.refuse(*((404, "EntryNotFound") if name == BARE else (503, "")))
        else:
            self.refuse(*((200, "") if name == THERE else (404 if token else 401, "RepoNotFound")))

    do_HEAD = do_GET

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(world, monkeypatch, tmp_path) -> Iterator[list[str]]:
    """What the stand-in was asked."""
    handler = type("HubHandler", (Handler,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield handler.asked
    server.shutdown()
    server.server_close()


def said(**changes) -> list[str]:
    return [item.message for item in preflight(settings(**changes)) if item.key == "the_hub_answers"]


def test_what_is_there_is_no_matter(hub):
    assert said(pretrain=THERE, dataset=f"{THERE}@part, data/train.jsonl") == []
    assert hub == ["/ana/there/resolve/main/config.json", "/api/datasets/ana/there/auth-check"]


@pytest.mark.parametrize("field", ["pretrain", "dataset", "eval_dataset"])
@provokes("the_hub_answers")
def test_gated_and_missing(hub, monkeypatch, field):
    one("stop", field, "ana/gated is gated, and HF_TOKEN is not set", **{field: GATED})
    kind = "model" if field == "pretrain" else "data set"
    one("stop", field, f"ana/absent is no {kind} on the hub, or a private one", **{field: "ana/absent"})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    gated = one("stop", field, "the account of the token in HF_TOKEN has no access yet", **{field: GATED})
    one("stop", field, "or one that HF_TOKEN may not see", **{field: "ana/absent"})
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong")
    wrong = one("stop", field, "the hub does not know the token in HF_TOKEN", **{field: THERE})
    assert TOKEN not in gated.message and "wrong" not in wrong.message


@provokes("the_hub_answers")
def test_a_repository_without_a_model(hub):
    one("stop", "pretrain", "without a config.json", pretrain=BARE)


@provokes("the_hub_answers")
def test_a_hub_that_cannot_be_reached_or_is_in_trouble(hub, monkeypatch):
    one("warn", "pretrain", "the hub is in trouble (status 503)", pretrain=SICK)
    monkeypatch.setattr(check_hub, "TIMEOUT", 0.2)
    one("warn", "pretrain", "has not answered in 0.2 seconds", pretrain=SLOW)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    one("stop", "pretrain", "cannot be reached", pretrain=THERE)
    one("warn", "pretrain", "cannot be reached", pretrain=THERE, launcher="slurm", num_processes=1)


def test_the_network_is_left_alone_until_its_turn_and_where_it_is_forbidden(hub, monkeypatch):
    for tier in ("instant", "tokenizer"):
        preflight(settings(dataset=THERE, eval_dataset=None), tier=tier)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    preflight(settings(dataset=THERE, eval_dataset=None))
    assert hub == []
