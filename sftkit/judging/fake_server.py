"""A FAKE judge: a local server that speaks OpenAI's chat completions and decides by a rule you give it.

    with FakeJudgeServer(score=len) as server:                     # the longer answer wins
        Judge("fake-judge", base_url=server.base_url).rate(answers)

For tests and for lessons without a key. It is no language model, calls itself "fake-judge" and answers to no other
name, so that nothing it says can pass for GPT-4's word. Faults can be planted: a list for the first requests, or
shares of all.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "fake-judge"
FAULTS = ("429", "500", "401", "hang", "bad_json", "prose", "twins", "refusal", "cut", "no_choices")
_FENCE = re.compile(r"^BEGIN ([0-9a-f]{32})\n(.*)\nEND \1$", re.MULTILINE)


class FakeJudgeServer:
    """Serve on a free port of this machine until closed. Use as a context manager.

    score: what an answer is worth by the known rule; the higher wins, equal ones tie. lean: a position bias, added to
    the score of the answer shown first. faults: kinds for the first requests in turn (None is an honest reply), or
    {kind: share of all requests}. latency in seconds. `requests` keeps every body received.
    """

    def __init__(
        self,
        score: Callable[[str], float] = len,
        *,
        lean: float = 0.0,
        faults: Sequence[str | None] | Mapping[str, float] = (),
        latency: float = 0.0,
        hang_seconds: float = 5.0,
        seed: int = 0,
    ):
        unknown = {kind for kind in faults if kind is not None} - set(FAULTS)
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; known: {', '.join(FAULTS)}")
        self.score, self.lean, self.latency, self.hang_seconds = score, lean, latency, hang_seconds
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._shares = faults if isinstance(faults, Mapping) else {}
        self._plan = [] if isinstance(faults, Mapping) else list(faults)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeJudgeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def reply(self, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        """(status, JSON) for one request, after the planned fault or wait."""
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            fault = self._next_fault()
        self._closing.wait(self.hang_seconds if fault == "hang" else self.latency)
        if fault in ("401", "429", "500"):
            return int(fault), {"error": {"message": f"planted {fault} for the key {key}", "type": "fake"}}
        if body.get("model") != MODEL:
            return 404, {"error": {"message": f"this is a fake judge: its only model is {MODEL!r}"}}
        if fault == "no_choices":
            return 200, {"object": "chat.completion", "model": MODEL, "choices": []}
        verdict = json.dumps(self.judge(body))
        content = {"bad_json": verdict[:-5], "prose": "[[A]] is better.", "twins": _twins(verdict)}.get(
            fault, verdict
        )
        return 200, _completion(content, fault)

    def _next_fault(self) -> str | None:
        if self._plan:
            return self._plan.pop(0)
        draw, floor = self._random.random(), 0.0
        for kind, share in self._shares.items():
            floor += share
            if draw < floor:
                return kind
        return None

    def judge(self, body: dict[str, Any]) -> dict[str, Any]:
        """An honest verdict by the rule, on whatever dimensions the schema asks for."""
        [(_, data)] = _FENCE.findall(body["messages"][-1]["content"])
        shown = json.loads(data)
        worth = {
            "answer_1": self.score(shown["answer_1"]) + self.lean,
            "answer_2": self.score(shown["answer_2"]),
        }
        best = max(worth, key=worth.__getitem__)
        verdict = "tie" if len(set(worth.values())) == 1 else best
        marks = {name: 3 if verdict == "tie" else 4 if name == verdict else 2 for name in worth}
        cells = {n: {"evidence": " ".join(shown[n].split()[:5]), "score": marks[n]} for n in worth}
        schema = body["response_format"]["json_schema"]["schema"]
        return {
            "scores": dict.fromkeys(schema["$defs"]["Dimensions"]["properties"], cells),
            "verdict": verdict,
        }


def _twins(verdict: str) -> str:
    return verdict[:-1] + ', "verdict": "tie"}'


def _completion(content: str, fault: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if fault == "refusal":
        message |= {"content": None, "refusal": "I cannot judge this."}
    return {
        "id": "fake",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "length" if fault == "cut" else "stop"}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    }


def _handler(server: FakeJudgeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            status, reply = server.reply(body, key)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After-Ms", "20")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing on the notebook's stderr."""

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that timed out has hung up
                super().handle()

    return Handler
