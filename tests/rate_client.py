"""For tests of `sftkit rate`: the server in a thread, and a rater's browser as far as HTTP and websockets go. Every byte that
the server sends is kept.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import websocket
from tornado.netutil import bind_sockets

from sftkit.generation import Generations
from sftkit.ratings import RatingStore
from sftkit.widgets import rate_server

TOKEN = "a-token-of-more-than-sixteen"
MODELS = ("zebra-base-7b", "okapi-tuned-7b")


def answers(models=MODELS, prompts=30, word="sum") -> Generations:
    rows = [
        {
            "prompt_id": f"{word}{n}",
            "prompt": f"{word} {n}?",
            "task": word,
            "reference": str(n),
            "model": model,
            "response": f"{letter} {word} {n}",
        }
        for n in range(prompts)
        for model, letter in zip(models, "XY")
    ]
    return Generations.from_frame(pd.DataFrame(rows))


def opinion(verdict="a", **more):
    nothing = {"ranking": {}, "scores": {}, "note": "", "tags": [], "flag": False, "reason": None}
    return {"verdict": verdict, **nothing, **more}


@dataclass
class Served:
    """A running server, and every byte that it sent."""

    store: RatingStore
    path: Path
    port: int = 0
    heard: list[str] = field(default_factory=list)

    def http(self, path="/", method="GET", body=None, cookies=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        self.heard.append(f"{answer.headers}\n{text}")
        return answer, text

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enter(self, name: str | None = "ana") -> dict[str, str]:
        """The cookies of a browser that opened the link, and gave a name."""
        answer, _ = self.http(f"/?token={TOKEN}")
        assert answer.status == 303
        cookies = dict(re.findall(r"^Set-Cookie: ([^=]+)=([^;]+)", str(answer.headers), re.M))
        if name:
            form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": self.origin}
            answer, _ = self.http("/", "POST", urlencode({"name": name}), cookies, **form)
            assert answer.status == 303, answer.status
            cookies |= dict(re.findall(r"^Set-Cookie: ([^=]+)=([^;]+)", str(answer.headers), re.M))
        return cookies

    def line(self, cookies=None, origin: str | None = "", **more) -> Line:
        cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
        origin = self.origin if origin == "" else origin
        more |= {"suppress_origin": True} if origin is None else {"origin": origin}
        socket = websocket.create_connection(
            f"ws://127.0.0.1:{self.port}/socket", cookie=cookie, timeout=20, **more
        )
        return Line(socket, self.heard)


class Line:
    """A page's websocket."""

    def __init__(self, socket, heard):
        self.socket, self.heard, self.count = socket, heard, 0
        self.labels = self.hear()["traits"]["_labels"]

    def hear(self):
        text = self.socket.recv()
        if not text:
            raise EOFError
        self.heard.append(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        return json.loads(text)

    def ask(self, kind, **content):
        self.count += 1
        self.socket.send(json.dumps({"ask": f"q{self.count}", "kind": kind, **content}))
        while True:
            reply = self.hear()
            if reply.get("ask") == f"q{self.count}":
                return reply

    def vote(self, row, key, verdict="a", **more):
        whole = self.ask("row", row=row)
        given = {"opinion": opinion(verdict), "seconds": 1.0, "key": key, "base": 0, "restored": False}
        return self.ask("vote", id=whole["id"], **{**given, **more})

    def closed_with(self, sent) -> int:
        """Send that, and the code with which the server then closes."""
        self.socket.send(sent) if isinstance(sent, str) else self.socket.send_binary(sent)
        try:
            while True:
                kind, data = self.socket.recv_data()
                if kind == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(data[:2], "big")
        except ConnectionError:  # it was too big to be read to its end
            return 1009


class running:
    """The server in a thread of its own."""

    def __init__(self, desk):
        self.desk = desk

    def __enter__(self) -> int:
        sockets = bind_sockets(0, "127.0.0.1")
        self.desk.port = port = sockets[0].getsockname()[1]
        started = threading.Event()

        async def main():
            self.stop, self.loop = asyncio.Event(), asyncio.get_running_loop()
            server = rate_server.listen(self.desk, sockets)
            started.set()
            await self.stop.wait()
            server.stop()
            await server.close_all_connections()

        self.thread = threading.Thread(target=asyncio.run, args=(main(),))
        self.thread.start()
        assert started.wait(10)
        return port

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)
        self.desk.threads.shutdown()
