"""Planted leaks are found at their planted counts, at each level of editing, and nothing else is."""

from __future__ import annotations

import json
import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

import sftkit as sk
from sftkit.data.lens.grams import Grams

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "ra", "to", "lis", "mek")]
CHINESE = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"


def row(chance: random.Random) -> dict:
    prompt, answer = (" ".join(chance.choices(WORDS, k=count)) for count in (12, 40))
    return {"prompt": f"{prompt}?", "response": f"{answer}."}


def edited(one: dict, share: float, chance: random.Random) -> dict:
    """The row with this share of its words exchanged."""
    words = one["response"].split()
    for place in chance.sample(range(len(words)), round(share * len(words))):
        words[place] = chance.choice(WORDS)
    return {**one, "prompt": one["prompt"].capitalize(), "response": " ".join(words)}


@pytest.fixture(scope="module")
def planted() -> tuple[list[dict], list[dict]]:
    """500 training rows; 120 eval rows: 7 copies, 9 with 5 %, 11 with 15 % of their words changed, 5 with another answer,
    3 inside of longer rows, 85 that are new."""
    chance = random.Random(1)
    train, evals = [row(chance) for _ in range(500)], [row(chance) for _ in range(85)]
    evals += [{"prompt": f"  {one['prompt'].upper()}", "response": one["response"]} for one in train[:7]]
    evals += [edited(one, 0.05, chance) for one in train[10:19]]
    evals += [{**edited(one, 0.15, chance), "prompt": f"Please: {one['prompt']}"} for one in train[20:31]]
    evals += [{**one, "response": row(chance)["response"]} for one in train[40:45]]
    inside = [row(chance) for _ in range(3)]
    train += [{"prompt": "An essay", "response": f"{row(chance)['response']} {one['prompt']} {one['response']} {row(chance)['response']}"} for one in inside]  # fmt: skip
    return train, evals + inside


def test_each_level_of_editing(planted):
    found = sk.leaks(*planted, progress=False)
    assert (found.exact, found.near, found.same_prompt, found.paraphrase) == (7, 9 + 11 + 3, 5, None)
    assert found.rows == 35 and "35 of 120 eval rows (29.2%)" in str(found)
    pairs = found.pairs
    assert list(pairs["kind"].drop_duplicates()) == ["exact", "near", "same_prompt"]
    expected = [*range(1, 8), *range(11, 20), *range(21, 32), *range(41, 46), 501, 502, 503]
    assert sorted(pairs["train_row"]) == expected and sorted(pairs["eval_row"]) == list(range(86, 121))
    assert pairs["similarity"].between(0, 1).all()


def test_paraphrases_where_an_embedding_model_is_given(planted):
    train, evals = planted
    chance = random.Random(9)
    vectors = {one["prompt"]: np.array([chance.gauss(0, 1) for _ in range(64)]) for one in [*train, *evals]}
    for number in range(6):  # six new eval questions mean what training questions do
        vectors[evals[number]["prompt"]] = vectors[train[100 + number]["prompt"]] + 0.1
    found = sk.leaks(train, evals, embed=lambda texts: [vectors[text] for text in texts], progress=False)
    assert (found.exact, found.near, found.same_prompt, found.paraphrase) == (7, 23, 5, 6)
    said = found.pairs[found.pairs["kind"] == "paraphrase"]
    assert sorted(said["train_row"]) == list(range(101, 107)) and sorted(said["eval_row"]) == list(
        range(1, 7)
    )
    with pytest.raises(sk.DataError, match="one vector of numbers for each of"):
        sk.leaks(train, evals, embed=lambda texts: [[1.0]], progress=False)


def test_chinese():
    chance = random.Random(2)
    rows = [{"prompt": "".join(chance.choices(CHINESE, k=12)), "response": "".join(chance.choices(CHINESE, k=40))} for _ in range(200)]  # fmt: skip
    evals = [dict(one) for one in rows[:20]]
    for one in evals[:10]:
        one["response"] = one["response"][:20] + "猫" + one["response"][21:]
    found = sk.leaks(rows[:100], [*evals, *rows[100:150]], progress=False)
    assert (found.exact, found.near, found.rows) == (10, 10, 20)


def test_what_everybody_says_is_no_leak():
    chance = random.Random(4)
    said = "I am sorry, but I do not know the answer to this question, since nobody has told me."
    rows = [{"prompt": " ".join(chance.choices(WORDS, k=9)), "response": said} for _ in range(300)]
    assert sk.leaks(rows[:200], rows[200:], progress=False).rows == 0
    sums = [{"prompt": f"What is {a} {sign} {b}?", "response": f"{a} {sign} {b} is what you ask for."} for a in range(2, 9) for b in range(2, 9) for sign in "+-"]  # fmt: skip
    plus, minus = sums[::2], sums[1::2]
    assert not Grams([one["prompt"] for one in plus]).contained([one["prompt"] for one in minus], 0.99)


def test_one_prompt_of_many_rows_is_an_instruction():
    chance = random.Random(5)
    rows = [{"prompt": "Continue the text.", "response": row(chance)["response"]} for _ in range(3000)]
    found = sk.leaks(rows[:2500], [*rows[2500:], *rows[:4]], progress=False)
    assert (found.exact, found.rows) == (4, 4)
    few = sk.leaks([*rows[:15], *[row(chance) for _ in range(50)]], rows[2500:], progress=False)
    assert few.same_prompt == 500 and len(few.pairs) == 500 * 5


def test_a_pair_is_shown_with_what_differs_and_hostile_text_is_text():
    hostile = "<script>alert(1)</script> <img src=x onerror=alert(2)> of the old harbour by the sea"
    found = sk.leaks([{"prompt": hostile, "response": "one two three four five"}], [{"prompt": hostile, "response": "one two three four six"}], progress=False)  # fmt: skip
    assert found.near == 1
    page = found._repr_html_()
    assert "<script>" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "<mark>five</mark>" in page and "<mark>six</mark>" in page
    assert "几乎相同" in found.html("zh")


def test_of_settings_and_of_files(tmp_path, planted):
    train, evals = planted
    for name, rows in (("train", train), ("eval", evals)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    config = sk.SFTConfig(pretrain="m", dataset=str(tmp_path / "train.jsonl"), eval_dataset=str(tmp_path / "eval.jsonl"))  # fmt: skip
    whole = sk.leaks(config, progress=False)
    assert (whole.exact, whole.near) == (7, 23) and whole.pairs["train_source"][0] == config.dataset
    few = sk.leaks(config.with_(max_samples=50), progress=False)  # as training draws them
    assert 0 < few.rows < 15
    with pytest.raises(sk.DataError, match="name no eval_dataset"):
        sk.leaks(config.with_(eval_dataset=None), progress=False)
    with pytest.raises(sk.DataError, match="no such file"):
        sk.leaks(config, tmp_path / "gone.jsonl", progress=False)


class Endpoint(BaseHTTPRequestHandler):
    """Embeddings: the length of each text; every text of a batch that begins with "broken" fails it."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append((self.path, body, self.headers["Authorization"]))
        bad = any(text.startswith("broken") for text in body["input"])
        data = [{"index": number, "object": "embedding", "embedding": [float(len(text)), 1.0]} for number, text in enumerate(body["input"])]  # fmt: skip
        reply = {"error": {"message": "no such model for hush-hush"}} if bad else {"object": "list", "model": body["model"], "data": data[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}  # fmt: skip
        self.send_response(400 if bad else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_):
        pass


def test_an_endpoint_embeds(monkeypatch):
    monkeypatch.setenv("MY_KEY", "hush-hush")
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        server.bodies = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        embed = sk.Embedder("tiny", f"http://127.0.0.1:{server.server_port}/v1", "MY_KEY", batch=2, progress=False)  # fmt: skip
        assert embed(["a", "bbb", "a", "", "cc"])[:, 0].tolist() == [1, 3, 1, 1, 2]
        assert [path for path, _, _ in server.bodies] == ["/v1/embeddings"] * 2
        assert {key for _, _, key in server.bodies} == {"Bearer hush-hush"}
        assert embed.estimate(["four", "four", "five5"]).startswith(
            "1 calls to tiny for 2 texts, about 2 tokens"
        )
        with pytest.raises(sk.DataError, match=r"gave no vectors: .*\*\*\*") as caught:
            embed(["broken"])
        assert "hush-hush" not in str(caught.value)
        server.shutdown()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(sk.DataError, match="set OPENAI_API_KEY in the environment"):
        sk.Embedder("tiny")(["a"])


def test_real_rows_have_their_own_leaks():
    path = Path(__file__).parents[3] / "shared" / "real" / "dolly_3k.jsonl"
    if not path.is_file():
        pytest.skip("../shared/real/dolly_3k.jsonl is not there")
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    chance = random.Random(0)
    copies = [edited({"prompt": one["instruction"], "response": one["output"]}, 0.08, chance) for one in rows[:100] if len(one["output"].split()) > 25 and not one["input"]]  # fmt: skip
    found = sk.leaks([{"prompt": one["instruction"], "response": one["output"]} for one in rows], copies, progress=False)  # fmt: skip
    assert len(copies) > 30 and found.exact == 0 and found.near >= 0.95 * len(copies)
