"""`sftkit rate`, attacked over HTTP and websockets as a rater with bad intentions, or a stranger, would."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import websocket

from sftkit.errors import ConfigError, StoreError
from sftkit.rate_command import Wishes, _desk, _reach, _store, serve
from sftkit.ratings import Rating, RatingStore
from sftkit.widgets import rate_seats, rate_server

ROOT = Path(__file__).parents[1]
SPEC = spec_from_file_location("rate_client", Path(__file__).with_name("rate_client.py"))
client = sys.modules["rate_client"] = module_from_spec(SPEC)
SPEC.loader.exec_module(client)
MODELS, TOKEN, Served, answers, opinion, running = (
    getattr(client, name) for name in ("MODELS", "TOKEN", "Served", "answers", "opinion", "running")
)
OTHER = ("lynx-base-1b", "ibex-tuned-1b")
PROTOCOL = (ROOT / "widgets/src/protocol.ts").read_text(encoding="utf-8")


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    path = tmp_path / "very-private.db"
    store = RatingStore(f"sqlite:///{path}")
    store.project("pilot", answers())
    store.project("else", answers(OTHER, 5, "other"))
    wishes = Wishes(str(store.url), "pilot")
    desk = _desk(wishes, store, store.project("pilot"), TOKEN)
    with running(desk) as port:
        yield Served(store, path, port)


def test_a_rater_enters_by_the_link_gives_a_name_and_rates(served):
    answer, _ = served.http(f"/?token={TOKEN}")
    cookie = answer.headers["Set-Cookie"]
    assert answer.headers["Location"] == "./" and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert TOKEN not in cookie and TOKEN not in base64.b64encode(cookie.encode()).decode()
    cookies = served.enter(None)
    answer, text = served.http("/", cookies=cookies)
    assert answer.status == 200 and 'name="name"' in text
    cookies = served.enter("ána  b")
    answer, text = served.http("/", cookies=cookies)
    assert answer.status == 200 and "<b>ána b</b>" in text and "rate.js" in text
    line = served.line(cookies)
    setup = line.ask("hello")
    assert setup["columns"] == 2 and setup["states"] == "." * 30 and setup["project"]["name"] == "pilot"
    saved = line.vote(0, "k1")
    assert saved["state"] == "a" and saved["rating"] > 0
    frame = served.store.frame()
    assert list(frame["rater"]) == ["human:ána b"] and list(frame["project"]) == ["pilot"]
    assert line.vote(0, "k1")["rating"] == saved["rating"]  # sent again: counted once
    assert len(served.store.frame()) == 1


def test_language_is_switched_and_the_words_about_kernels_are_not_here(served):
    cookies = served.enter()
    assert served.line(cookies).labels["grid.prompt"] == "Prompt"
    line = served.line(cookies | {"sftkit-rate-lang": "zh"})
    assert line.labels["grid.prompt"] == "提示" and not any("内核" in word for word in line.labels.values())
    english = served.line(cookies).labels.values()
    assert not [word for word in english if re.search(r"kernel|this cell|\bsk\.", word)]
    _, text = served.http("/", cookies=cookies | {"sftkit-rate-lang": "zh"})
    assert "评分者" in text and 'lang="zh-Hans"' in text
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": served.origin}
    answer, _ = served.http("/", "POST", "lang=zh", cookies, **form)
    assert "sftkit-rate-lang=zh" in answer.headers["Set-Cookie"]
    answer, _ = served.http("/", "POST", "lang=%3Cscript%3E", cookies, **form)
    assert "lang" not in (answer.headers["Set-Cookie"] or "")


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", f"/?token={TOKEN[:-1]}", f"/?token={TOKEN}x", "/here", "/?token=%F0%9F%92%A5"])  # fmt: skip
def test_without_the_token_nothing_is_told(served, path):
    answer, text = served.http(path)
    assert answer.status == 403 and answer.headers["Set-Cookie"] is None
    assert "pilot" not in text and "ana" not in text
    if path != "/here":
        assert "This link does not open" in text


def test_a_cookie_of_ones_own_making_opens_nothing(served):
    name = next(iter(served.enter(None)))
    for value in ("entered", base64.b64encode(b"entered").decode(), '"2|1:0|10:1|x|8:ZW50ZXJlZA==|0"', ""):
        answer, _ = served.http("/", cookies={name: value, "sftkit-rate-name": "ana"})
        assert answer.status == 403
        with pytest.raises(websocket.WebSocketBadStatusException):
            served.line({name: value, "sftkit-rate-name": "ana"})


@pytest.mark.parametrize("path", [
    "/../sftkit/cli.py", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/static/grid.js", "/grid.js/../../labels.json",
    "/labels.json", "/rate.html", "/curves.js", "//etc/passwd", "/api/contents", "/api/kernels", "/api/terminals", "/lab",
    "/tree", "/files/very-private.db", "/very-private.db", "/voila/files/x", "/socket", "/grid.js%00.png", "/.", "/?file=/etc/passwd",
])  # fmt: skip
def test_no_file_and_no_other_door_is_there(served, path):
    answer, text = served.http(path, cookies=served.enter())
    assert answer.status == {"/?file=/etc/passwd": 200, "/socket": 403}.get(path, 404), (answer.status, text)
    assert "root:" not in text and "import" not in text and "SQLite" not in text


def test_every_answer_carries_the_policy_and_names_no_software(served):
    cookies = served.enter()
    for path in ("/", "/grid.js", "/rate.css", "/nothing", "/here", "/?token=x"):
        for jar in (cookies, None):
            answer, _ = served.http(path, cookies=jar)
            policy = answer.headers["Content-Security-Policy"]
            assert (
                "default-src 'none'" in policy
                and "'unsafe" not in policy
                and "frame-ancestors 'none'" in policy
            )
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "ornado" not in str(answer.headers)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert served.http("/", method, cookies=cookies)[0].status in (403, 404, 405)


def test_forms_of_other_pages_and_names_that_are_none_are_refused(served):
    cookies = served.enter(None)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    for origin in (
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ):
        answer, _ = served.http("/", "POST", "name=ana", cookies, **form, **origin)
        assert answer.status == 403
    for name in ("", " ", "a" * 65, "judge:gpt-4.1", "\u202eana", "…"):
        answer, text = served.http(
            "/", "POST", urlencode({"name": name}), cookies, **form, Origin=served.origin
        )
        assert answer.status == 400 and 'role="alert"' in text, name
    assert 'value="…"' in text  # to be mended, not typed again
    for name in ("x" * 90, "judge:x", "\x01"):  # in the cookie: the name is asked anew
        _, text = served.http("/", cookies=cookies | {"sftkit-rate-name": quote(name)})
        assert 'name="name"' in text
    answer, _ = served.http("/", "POST", "name=" + "a" * 10_000, cookies, **form, Origin=served.origin)
    assert answer.status == 400


def test_a_name_is_text_on_the_page(served):
    cookies = served.enter("<img src=x onerror=alert(1)>")
    _, text = served.http("/", cookies=cookies)
    assert "<img" not in text and "&lt;img src=x" in text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", None])
def test_a_websocket_from_elsewhere_is_refused(served, origin):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        served.line(served.enter(), origin=origin)
    assert refused.value.status_code == 403


def test_a_websocket_without_a_cookie_or_a_name_is_refused(served):
    for cookies in ({}, served.enter(None), {"sftkit-rate-name": "ana"}):
        with pytest.raises(websocket.WebSocketBadStatusException):
            served.line(cookies)


@pytest.mark.parametrize("sent", [
    "", "x", "[]", "null", "{}", '{"kind": "hello"}', '{"ask": 1, "kind": "hello"}', '{"ask": "1", "kind": "execute_request", "code": "1"}',
    '{"ask": "1", "kind": "_receive"}', '{"ask": "1", "kind": "__init__"}', '{"ask": "1", "kind": ["hello"]}', '{"ask": "1", "kind": "update", "state": {}}',
    '{"ask": "1", "kind": "comm_open"}', '{"ask": "1", "kind": "row", "row": NaN}', '{"ask": "1", "kind": "row", "row": 1e999}',
    '{"ask": "1", "kind": "rows", "from": 0, "to": 100000}', json.dumps({"ask": "1", "kind": "rows", "rows": [1] * 2000}),
    '{"ask": "1", "kind": "hello", "x": ' + "[" * 90_000 + "]" * 90_000 + "}", '{"ask": "1", "kind": "hello", "x": "\\ud800"}',
    '{"ask": "1", "kind": "filter", "text": "' + "not " * 20_000 + 'rated"}', '{"ask": "1", "kind": "filter", "text": 5}',
    '{"ask": "1", "kind": "row", "row": 1' + "0" * 5000 + "}", b"\x00\x01binary", "x" * (300 * 1024),
])  # fmt: skip
def test_what_is_not_of_the_protocol_closes_the_page(served, sent):
    assert served.line(served.enter()).closed_with(sent) in (1008, 1009)
    assert served.line(served.enter()).ask("hello")["columns"] == 2  # the server goes on


def test_every_kind_of_the_protocol_is_either_spoken_or_kept_back():
    kinds = set(re.findall(r'kind: "(\w+)"', PROTOCOL))
    assert {"hello", "vote", "rows"} <= kinds and kinds <= rate_seats.SPOKEN | rate_seats.KEPT, kinds


def test_questions_that_make_no_sense_get_an_error_that_tells_nothing(served):
    line = served.line(served.enter())
    identity = line.ask("row", row=0)["id"]
    whole = {"id": identity, "opinion": opinion(), "seconds": 1.0, "key": "k", "base": 0, "restored": False}
    asked = [
        ("row", {"row": -1}), ("row", {"row": 10**9}), ("row", {"row": "0"}), ("row", {"row": None}), ("row", {}), ("rows", {"rows": [99999]}),
        ("judge", {"id": "nothing"}), ("part", {"name": "../../../etc/passwd"}), ("part", {"name": "grid"}), ("hold", {"row": "x"}),
        ("vote", {}), ("vote", {**whole, "id": 5}), ("vote", {**whole, "opinion": None}), ("vote", {**whole, "opinion": opinion("okapi-tuned-7b")}),
        ("vote", {**whole, "opinion": opinion(scores={"safety": {"a": 9}})}), ("vote", {**whole, "opinion": opinion(scores="x")}),
        ("vote", {**whole, "opinion": opinion(note={"x": 1})}), ("vote", {**whole, "seconds": "x"}), ("vote", {**whole, "key": None, "seconds": -5}),
        ("vote", {**whole, "opinion": opinion("skipped")}), ("reveal", {}),
    ]  # fmt: skip
    for kind, content in asked:
        reply = line.ask(kind, **content)
        assert reply.get("error"), (kind, content, reply)
        assert "Error" not in reply["error"] and "Traceback" not in reply["error"], reply
    assert served.store.frame().empty
    for text in (
        "model == 'zebra-base-7b'",
        "models",
        "__import__('os').system('id')",
        "().__class__.__base__",
        "(" * 900,
    ):
        reply = line.ask("filter", text=text)
        assert reply["fault"] and "Error" not in reply["fault"], reply


def test_a_rater_cannot_write_to_the_terminal(served, caplog):
    line = served.line(served.enter())
    whole = {"id": line.ask("row", row=0)["id"], "seconds": 1.0, "key": "k", "base": 0, "restored": False}
    for name in ("safty\x1b[2J\x07", "a\r\nb\x9b31m"):
        line.ask("vote", **whole, opinion=opinion(scores={name: {"a": 9}}))
        line.ask("vote", **whole, opinion=opinion(name))
    assert len(caplog.messages) >= 4
    assert all(character.isprintable() for message in caplog.messages for character in message)


def test_other_projects_and_their_ids_are_out_of_reach(served):
    from sftkit.widgets.grid import ComparisonGrid

    theirs = ComparisonGrid(store=served.store, rater="eve", project="else")
    ids = list(theirs._rows.of_id)
    line = served.line(served.enter("eve"))
    for identity in ids:
        assert line.ask(
            "vote", id=identity, opinion=opinion(), seconds=1, key=identity, base=0, restored=False
        )["error"]
        assert line.ask("judge", id=identity)["error"]
    assert line.ask("hello", project="else")["project"]["name"] == "pilot"
    assert len(line.ask("rows", **{"from": 0, "to": 900, "project": "else"})["rows"]) == 30
    assert served.store.frame().empty
    assert "other" not in "".join(text for text in served.heard if '"rows"' in text)


def test_no_byte_names_a_model_or_the_store(served):
    """Every kind of question, votes included, and errors of a store that is suddenly gone."""
    line = served.line(served.enter())
    line.ask("hello")
    line.ask("rows", **{"from": 0, "to": 30})
    for row in range(3):
        line.vote(row, f"k{row}", "ab"[row % 2])
    for kind, more in (("next", {"row": 0}), ("hold", {"row": 5}), ("progress", {}), ("filter", {"text": "unrated"}), ("part", {"name": "code"})):  # fmt: skip
        assert "error" not in line.ask(kind, **more), kind
    assert "error" in line.ask("reveal")
    served.http("/", cookies=served.enter())
    served.store._engine.dispose()
    served.path.write_bytes(b"no database any more" * 500)
    for suffix in ("-wal", "-shm"):
        served.path.with_name(served.path.name + suffix).unlink(missing_ok=True)
    reply = line.ask(
        "vote", id=line.ask("row", row=9)["id"], opinion=opinion(), seconds=1, key="z", base=0, restored=False
    )
    assert reply["error"] == "That did not work. Whoever runs the server sees why; ask them."
    everything = "\n".join(served.heard)
    for word in (*MODELS, *OTHER, "very-private", "sqlite", str(served.path.parent), TOKEN, "Traceback"):
        assert word not in everything, word


def test_several_raters_at_once_each_with_their_own_votes(served):
    names = [f"rater{n}" for n in range(6)]
    faults = []

    def rate(name, cookies):
        try:
            line = served.line(cookies)
            for row in range(10):
                assert "error" not in line.vote(row, f"{name}-{row}", "ab"[row % 2])
        except Exception as error:
            faults.append((name, error))

    threads = [threading.Thread(target=rate, args=(name, served.enter(name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    votes = served.store.frame()
    assert votes.groupby("rater").size().to_dict() == {f"human:{name}": 10 for name in names}


def test_two_pages_of_one_rater_hear_of_each_others_votes(served):
    cookies = served.enter()
    one, two = served.line(cookies), served.line(cookies)
    one.vote(4, "k4", "b")
    while "state" not in (told := two.hear()):
        pass
    assert (told["row"], told["state"]) == (4, "b")


def test_whoever_says_not_me_gives_back_what_was_held(served):
    cookies = served.enter()
    assert served.line(cookies).ask("hold", row=0)["closed"] is None
    project = served.store.project("pilot")
    assert project.progress().set_index("rater")["leased"]["human:ana"] == 1
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": served.origin}
    assert served.http("/", "POST", "leave=1", cookies, **form)[0].status == 303
    until = time.monotonic() + 20
    while len(project.progress()) and time.monotonic() < until:
        time.sleep(0.02)
    assert project.progress().empty


def test_only_the_names_given_may_rate(served):
    desk = _desk(
        Wishes(str(served.store.url), "pilot", ("ana", "ben")),
        served.store,
        served.store.project("pilot"),
        TOKEN,
    )
    with running(desk) as port:
        served.port = port
        cookies = served.enter(None)
        assert "ben" in served.http("/", cookies=cookies)[1]
        form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": served.origin}
        assert served.http("/", "POST", "name=eve", cookies, **form)[0].status == 400
        with pytest.raises(websocket.WebSocketBadStatusException):
            served.line(cookies | {"sftkit-rate-name": "eve"})
        assert served.line(served.enter("ben")).ask("hello")["columns"] == 2


def test_pages_that_are_too_many_are_refused(served, monkeypatch):
    monkeypatch.setattr(rate_server, "PAGES", 2)
    cookies = served.enter()
    lines = [served.line(cookies), served.line(cookies)]
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        served.line(cookies)
    assert refused.value.status_code == 503
    lines[0].socket.close()
    deadline = time.monotonic() + 5
    while len(lines) < 3:
        try:
            lines.append(served.line(cookies))
        except websocket.WebSocketBadStatusException:
            assert time.monotonic() < deadline, "a page that was closed still counts"
            time.sleep(0.1)


def test_options_that_cannot_work_are_all_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SFTKIT_RATE_TOKEN", "short")
    wishes = Wishes("sqlite:///x.db", "pilot", ("a:b",), port=70_000, lang="fr", cert=Path("c.pem"))
    with pytest.raises(ConfigError) as error:
        serve(wishes, None)
    assert [fault.field for fault in error.value.faults] == [
        "--rater",
        "--lang",
        "--port",
        "--cert",
        "SFTKIT_RATE_TOKEN",
    ]
    monkeypatch.delenv("SFTKIT_RATE_TOKEN")
    for place in (tmp_path / "none.db", f"sqlite:///{tmp_path / 'none.db'}"):
        with pytest.raises(
            StoreError, match=r"no rating store at .*none\.db.* e\.g\. ratings\.db or postgresql://"
        ):
            _store(str(place))
    made = RatingStore(tmp_path / "here.db")
    made.add(Rating("human:ana", "p1", "base", "tuned", "a"))
    assert len(_store(str(tmp_path / "here.db")).frame()) == 1  # a bare path will do
    missing = tmp_path / "typo.db"
    with pytest.raises(StoreError, match="no rating store"):
        serve(Wishes(f"sqlite:///{missing}", "pilot"), None)
    assert not missing.exists()
    with pytest.raises(StoreError):
        serve(Wishes("not a url", "pilot"), None)


def test_an_open_host_is_warned_of(served):
    desk = _desk(Wishes(str(served.store.url), "pilot"), served.store, served.store.project("pilot"), TOKEN)
    words = " ".join(_reach(Wishes("", "pilot", host="0.0.0.0"), desk))
    assert "plain http" in words and "password" in words
    assert "plain http" not in " ".join(_reach(Wishes("", "pilot"), desk))


def test_whether_the_link_outlives_a_new_start_is_told(served, monkeypatch):
    desk = _desk(Wishes(str(served.store.url), "pilot"), served.store, served.store.project("pilot"), TOKEN)
    monkeypatch.delenv("SFTKIT_RATE_TOKEN", raising=False)
    assert "SFTKIT_RATE_TOKEN" in " ".join(_reach(Wishes("", "pilot"), desk))
    monkeypatch.setenv("SFTKIT_RATE_TOKEN", TOKEN)
    assert "SFTKIT_RATE_TOKEN" not in " ".join(_reach(Wishes("", "pilot"), desk))


def test_from_the_terminal_votes_outlive_a_kill(tmp_path, sftkit):
    path = tmp_path / "ratings.db"
    store = RatingStore(f"sqlite:///{path}")
    assert "There is no project 'nix'" in sftkit("rate", f"sqlite:///{path}", "--project", "nix", code=1)
    store.project("pilot", answers())
    command = [
        sys.executable,
        "-m",
        "sftkit.cli",
        "rate",
        f"sqlite:///{path}",
        "--project",
        "pilot",
        "--no-browser",
    ]
    environment = {**os.environ, "SFTKIT_RATE_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}

    def start(port):
        process = subprocess.Popen([*command, "--port", port], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        told = ""
        while "Ctrl-C" not in told:
            told += (line := process.stdout.readline())
            assert line, told
        return process, told, int(re.search(rf"http://127.0.0.1:(\d+)/\?token={TOKEN}", told)[1])

    process, told, port = start("0")
    try:
        assert "30 comparisons" in told and "Only browsers on this machine" in told
        served = Served(store, path, port)
        cookies = served.enter()
        line = served.line(cookies)
        for row in range(5):
            line.vote(row, f"k{row}")
        assert sftkit("rate", f"sqlite:///{path}", "--project", "pilot", "--port", str(port), code=1).count(
            "listened on"
        )
        process.kill()
        process.wait(10)
        assert len(store.frame()) == 5
        process, _, _ = start(str(port))
        line = served.line(cookies)  # the same token: the same cookie opens it
        assert line.ask("hello")["states"].count("a") == 5
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)[0]
        assert process.returncode == 0 and "5 votes are in the store" in rest and TOKEN not in rest
    finally:
        process.kill()
