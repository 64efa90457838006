"""What listens: `sftkit rate` and the fake judge, started for real. Who has no token learns nothing.

Training and notebooks: test_whole_pass.py. The rating page's doors one by one: tests/test_rate_command.py.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sftkit import rate_command
from sftkit.judging import fake_server
from sftkit.ratings import RatingStore
from tests.rate_client import TOKEN, answers
from tests.security.watching import Watch


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_the_rating_server_listens_on_loopback_and_knows_who_is_asking(tmp_path):
    store = RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")
    store.project("pilot", answers())
    (tmp_path / "open").write_text("#!/bin/sh\nsleep 1\n")
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-m", "sftkit.cli", "rate", store.url, "--project", "pilot", "--port", "0"]
    environment = {
        **os.environ, "SFTKIT_RATE_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1", "SFTKIT_WATCHED": str(tmp_path),
        "BROWSER": f"{tmp_path / 'open'} %s", "TMPDIR": str(tmp_path / "temporary"),
    }  # fmt: skip
    with Watch(str(tmp_path), every=0.05) as watch:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        told = ""
        while "Ctrl-C" not in told:
            told += (line := process.stdout.readline())
            assert line, told
        port = int(re.search(r"127\.0\.0\.1:(\d+)", told)[1])
        shown = _wait_for(lambda: list((tmp_path / "temporary").glob("sftkit-rate-*.html")))
        assert TOKEN in shown[0].read_text() and shown[0].stat().st_mode & 0o077 == 0  # ours alone
        for path in ("/", "/?token=", "/?token=wrong", f"/?token={TOKEN[:-1]}", "/here", "/socket"):
            status, body = asked(port, path)
            assert status == 403, path
            assert b"pilot" not in body and b"sum" not in body and TOKEN.encode() not in body
        assert asked(port, f"/?token={TOKEN}")[0] == 303
        _wait_for(lambda: watch.listening and any(str(tmp_path / "open") in w.decode() for w in watch.words.values()))  # fmt: skip
        process.send_signal(signal.SIGINT)
        told += process.communicate(timeout=60)[0]
    assert not watch.open_to_others
    assert not [words for words in watch.words.values() if TOKEN.encode() in words]
    assert not list((tmp_path / "temporary").glob("sftkit-rate-*.html"))
    assert told.count(TOKEN) == 1  # the link, for whoever started it; no line of the log


def _wait_for(look, seconds: float = 60):
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_the_token_is_compared_in_constant_time():
    text = (Path(rate_command.__file__).parent / "widgets" / "rate_server.py").read_text(encoding="utf-8")
    assert "hmac.compare_digest(token.encode(), self.desk.token.encode())" in text
    assert not re.search(r"token\s*[!=]=|[!=]=\s*self\.desk\.token", text)


def test_a_token_of_chance_is_long_and_new_each_time(monkeypatch):
    monkeypatch.delenv(rate_command.TOKEN, raising=False)
    tokens = {rate_command._checked(rate_command.Wishes("", "pilot")) for _ in range(9)}
    assert len(tokens) == 9 and min(map(len, tokens)) >= 32


def test_the_fake_judge_listens_on_loopback_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SFTKIT_WATCHED", str(tmp_path))
    with Watch(str(tmp_path), every=0.05) as watch, fake_server.apart() as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        _wait_for(lambda: watch.listening)
    assert not watch.open_to_others
    assert "fake_server" in " ".join(who for _, who in watch.listening)


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[" * 100_000, b"[1, 2]", b'{"model": "fake-judge", "messages": 5}']
)
def test_the_fake_judge_survives_what_is_no_request(sent):
    with fake_server.FakeJudgeServer() as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("POST", "/v1/chat/completions", body=sent)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            pass
        assert json.loads(asked(port, "/v1/stats")[1])["requests"] >= 0  # it still answers


def test_no_source_binds_an_address_of_its_own_choice_but_loopback():
    """Statically: whoever adds a server is asked to come by here."""
    for path in (Path(rate_command.__file__).parent).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for place in re.findall(
            r"(?:create_server|start_server|\.bind|bind_sockets|TCPStore|HTTPServer|listen)\(\s*\(?[^)\n]*",
            text,
        ):
            for address in re.findall(r"0\.0\.0\.0|\"\"|''|::", place):
                assert path.name == "check_machine.py", (
                    f"{path}: {place} ({address})"
                )  # looks whether a port is free
