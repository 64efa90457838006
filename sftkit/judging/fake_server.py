"""A FAKE judge: a local server that speaks OpenAI's chat completions and decides by a rule you give it.

    with FakeJudgeServer(score=len) as server:                     # the longer answer wins
        Judge("fake-judge", base_url=server.base_url).rate(answers)
    python -m sftkit.judging.fake_server --latency 0.2             # the same as a process of its own

For tests and for lessons without a key. It is no language model, calls itself "fake-judge" and answers to no other
name, so that nothing it says can pass for GPT-4's word. Faults can be planted: a list for the first requests, or
shares of all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from sftkit.judging.fake_rule import RULES, Rule, logprobs, question

MODEL = "fake-judge"
FAULTS = "429 500 401 hang broken bad_json prose twins two_verdicts wrong_enum refusal cut empty no_choices".split()
KNOWS = ("json_schema", "tools", "json_object", "logprobs", "temperature", "seed")
LONGEST = 16 << 20  # bytes of a request


class FakeJudgeServer:
    """Serve on a free port of this machine until closed. Use as a context manager.

    score, lean, position_bias, length_bias, noise, marks, seed: the rule and what is planted in it, see Rule.
    faults: kinds for the first requests in turn (None is an honest reply), or {kind: share of all requests}.
    latency: seconds a reply takes (a 429 comes at once). capacity: requests a second, those beyond it get a 429.
    retry_after: seconds that a 429 asks to wait. knows: what the endpoint supports; it answers 400 to the rest.
    `requests` and `keys` hold every body and key received.
    """

    def __init__(
        self,
        score: Callable[[str], float] = len,
        *,
        lean: float = 0.0,
        position_bias: float = 0.0,
        length_bias: float = 0.0,
        noise: float = 0.0,
        marks: Callable[[str, str], int] | None = None,
        faults: Sequence[str | None] | Mapping[str, float] = (),
        latency: float = 0.0,
        hang_seconds: float = 5.0,
        capacity: float | None = None,
        retry_after: float = 0.02,
        knows: Collection[str] = KNOWS,
        seed: int = 0,
        port: int = 0,
    ):
        if unknown := {kind for kind in faults if kind is not None} - set(FAULTS):
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; known: {', '.join(FAULTS)}")
        self.rule = Rule(score, lean, position_bias, length_bias, noise, marks, seed)
        self.latency, self.hang_seconds, self.retry_after = latency, hang_seconds, retry_after
        self.capacity, self.knows = capacity, frozenset(knows)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answered: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._shares = faults if isinstance(faults, Mapping) else {}
        self._plan = [] if isinstance(faults, Mapping) else list(faults)
        self._random = random.Random(seed)
        self._allowance = (time.monotonic(), capacity or 0.0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-judge", daemon=True)
        self._thread.start()
        opening = asyncio.start_server(self._serve, "127.0.0.1", port, backlog=512)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def __enter__(self) -> FakeJudgeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stats(self) -> dict[str, Any]:
        """Requests received, replies by status, questions answered honestly and how many of them more than once."""
        twice = sum(count > 1 for count in self.answered.values())
        return {
            "requests": len(self.requests),
            "statuses": {str(code): count for code, count in sorted(self.statuses.items())},
            "answered": len(self.answered),
            "answered_twice": twice,
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive until the client goes."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                start, *lines = head.split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                }
                size = int(headers.get("content-length") or 0)
                if not 0 <= size <= LONGEST:
                    break
                data = await reader.readexactly(size)
                if start.startswith("GET"):
                    _write(writer, 200, self.stats())
                elif not await self._post(writer, headers, data):
                    break
                await writer.drain()
        writer.close()

    async def _post(self, writer: asyncio.StreamWriter, headers: dict[str, str], data: bytes) -> bool:
        """Answer one request; False when the connection is to be cut."""
        body = json.loads(data)
        key = headers.get("authorization", "").removeprefix("Bearer ") or None
        self.requests.append(body)
        self.keys.append(key)
        fault = self._next_fault()
        if fault == "429" or not self._has_room():
            self.statuses[429] += 1
            _write(writer, 429, _error(f"planted 429 for the key {key}"), self.retry_after)
            return True
        await asyncio.sleep(self.hang_seconds if fault == "hang" else self.latency)
        status, reply = self.reply(body, key, fault)
        self.statuses[status] += 1
        if fault == "broken":
            whole = json.dumps(reply).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(whole) + whole[: len(whole) // 2])
            return False
        _write(writer, status, reply)
        return True

    def reply(self, body: dict[str, Any], key: str | None, fault: str | None) -> tuple[int, dict[str, Any]]:
        """(status, JSON) of one request."""
        if fault in ("401", "500"):
            return int(fault), _error(f"planted {fault} for the key {key}")
        if body.get("model") != MODEL:
            return 404, _error(f"this is a fake judge: its only model is {MODEL!r}")
        if (unknown := self._unknown(body)) is not None:
            return 400, _error(f"{unknown} is not supported by this endpoint", unknown)
        if fault == "no_choices":
            return 200, {"object": "chat.completion", "model": MODEL, "choices": []}
        said = self.rule.answer(body)
        if fault in (None, "hang"):
            self.answered[json.dumps([question(body), body.get("seed")], sort_keys=False)] += 1
        return 200, _completion(said, fault, body)

    def _unknown(self, body: dict[str, Any]) -> str | None:
        """The first thing in a request that this endpoint does not support."""
        form = body.get("response_format", {}).get("type")
        asked = {"response_format " + form: form} if form else {}
        asked |= {
            name: name for name in ("tools", "logprobs", "temperature", "seed") if body.get(name) is not None
        }
        return next((words for words, name in asked.items() if name not in self.knows), None)

    def _has_room(self) -> bool:
        """Whether the allowance of `capacity` requests a second, saved up for one second at most, has one left."""
        if self.capacity is None:
            return True
        before, left = self._allowance
        now = time.monotonic()
        left = min(max(self.capacity, 1.0), left + (now - before) * self.capacity)
        self._allowance = (now, left - 1 if left >= 1 else left)
        return left >= 1

    def _next_fault(self) -> str | None:
        if self._plan:
            return self._plan.pop(0)
        draw, floor = self._random.random(), 0.0
        for kind, share in self._shares.items():
            floor += share
            if draw < floor:
                return kind
        return None


def _error(message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "fake", "param": param, "code": None}}


def _spoilt(content: str, fault: str | None) -> str:
    """The reply's text with the planted fault."""
    return {
        "bad_json": content[:-5],
        "prose": "[[A]] is better.",
        "twins": content[:-1] + ', "verdict": "tie"}',
        "two_verdicts": content + "\n" + content,
        "wrong_enum": json.dumps(json.loads(content) | {"verdict": "both"}),
        "empty": "",
    }.get(fault or "", content)


def _completion(said: dict[str, Any], fault: str | None, body: dict[str, Any]) -> dict[str, Any]:
    honest = json.dumps(said)
    content = _spoilt(honest, fault)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if body.get("tools"):
        call = {"name": body["tools"][0]["function"]["name"], "arguments": content}
        message |= {"content": None, "tool_calls": [{"id": "fake", "type": "function", "function": call}]}
    if fault == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I cannot judge this."}
    choice: dict[str, Any] = {"index": 0, "message": message}
    choice["finish_reason"] = "length" if fault == "cut" else "tool_calls" if body.get("tools") else "stop"
    if body.get("logprobs") and content == honest and not body.get("tools"):
        choice["logprobs"] = {"content": logprobs(content, said, list(question(body).get("answers", ())))}
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    top = {"id": "fake", "object": "chat.completion", "created": int(time.time()), "model": MODEL}
    return {**top, "choices": [choice], "usage": usage}


def _write(
    writer: asyncio.StreamWriter, status: int, reply: dict[str, Any], retry_after: float | None = None
) -> None:
    data = json.dumps(reply).encode()
    head = f"HTTP/1.1 {status} FAKE\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    if retry_after is not None:
        head += (
            f"Retry-After-Ms: {round(1000 * retry_after)}\r\nRetry-After: {max(1, round(retry_after))}\r\n"
        )
    writer.write(head.encode() + b"\r\n" + data)


class ServerApart:
    """The fake server as a process: `.base_url`, `.stats()`."""

    def __init__(self, process: subprocess.Popen, base_url: str):
        self.process, self.base_url = process, base_url

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.base_url}/stats", timeout=30) as reply:
            return json.load(reply)


@contextlib.contextmanager
def apart(*flags: str) -> Iterator[ServerApart]:
    """The fake server in a process of its own, with the flags of `python -m sftkit.judging.fake_server`."""
    command = [sys.executable, "-m", "sftkit.judging.fake_server", *flags]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fake server did not start: {' '.join(command)}")
        yield ServerApart(process, line.split()[-1])
    finally:
        process.terminate()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--score", choices=sorted(RULES), default="length", help="the rule")
    for name in ("position-bias", "length-bias", "noise", "latency"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--hang-seconds", type=float, default=30.0)
    parser.add_argument("--retry-after", type=float, default=0.02)
    parser.add_argument("--capacity", type=float, help="requests a second; the rest get a 429")
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=SHARE", help="such as 429=0.1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM, an interrupt, or the end of the process that started this one."""
    flags = vars(_flags(arguments))
    faults = {kind: float(share) for kind, _, share in (item.partition("=") for item in flags.pop("fault"))}
    with FakeJudgeServer(RULES[flags.pop("score")], faults=faults, **flags) as server:
        print(f"a FAKE judge, no language model: {server.base_url}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with contextlib.suppress(KeyboardInterrupt):
            while sys.stdin.isatty() and not time.sleep(1):
                pass
            sys.stdin.read()


if __name__ == "__main__":
    main()
