"""What the FAKE judge says: an honest verdict by a known rule, with as much bias and noise as was planted.

Every draw is made from the question itself, so the same question gets the same verdict in any process, in any order.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftkit.judging.injection import MARKER
from sftkit.judging.reference import check

if TYPE_CHECKING:
    from sftkit.generation.table import Generations

_FENCE = re.compile(r"^BEGIN ([0-9a-f]{32})\n(.*)\nEND \1$", re.MULTILINE)
SURE = 0.9  # the probability that the fake's log-probabilities give to its verdict; the two others share the rest


def by_text(text: str) -> float:
    """A worth without rhyme or reason that is the same for the same text: 0 to 15."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] / 16


def by_reference(answers: Generations) -> Callable[[str], float]:
    """A worth by the references: the share of the prompts with this very answer on which it is right; 0 for any other text.

    Words hidden by injection.masked do not count.

        FakeJudgeServer(score=by_reference(answers), length_bias=0.2)
    """
    asked = answers.frame[answers.frame["reference"].notna()]
    right: dict[str, list[bool]] = {}
    for row in asked.itertuples():
        found = check(row.task, row.reference, row.response).correct
        right.setdefault(row.response.strip(), []).append(found)
    worth = dict.fromkeys(asked["reference"], 1.0) | {text: sum(m) / len(m) for text, m in right.items()}
    return lambda text: worth.get(text.replace(MARKER, "").strip(), 0.0)


RULES: dict[str, Callable[[str], float]] = {"length": len, "hash": by_text}


@dataclass(frozen=True)
class Rule:
    """score: what an answer is worth; the higher wins, equal ones tie. lean is added to the one shown first.

    position_bias, length_bias, noise: shares of all questions in which, whatever the answers say, the one shown first
    wins (the last where negative), the longer one wins, a coin decides. So position_bias 0.2 makes the win rate of the
    first 20 points higher than that of the second. marks: (text, dimension) -> 1 to 5, in place of the rule's own.
    """

    score: Callable[[str], float] = len
    lean: float = 0.0
    position_bias: float = 0.0
    length_bias: float = 0.0
    noise: float = 0.0
    marks: Callable[[str, str], int] | None = None
    seed: int = 0

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The honest reply to the body of a chat completion, as the object that its schema asks for."""
        shown, schema = question(body), schema_of(body)
        if "questions" in schema["properties"]:
            return {"questions": ["Does the answer do what the instruction asks?"]}
        dimensions = list(schema.get("$defs", {}).get("Dimensions", {}).get("properties", ()))
        quoted = "QuotedScore" in schema.get("$defs", {})
        draws = random.Random(f"{self.seed}{body.get('seed')}{json.dumps(shown)}")
        if "answer" in shown:
            cells = {
                name: self._cell(shown["answer"], name, self._alone(shown["answer"], draws), quoted)
                for name in dimensions
            }
            said: dict[str, Any] = {"scores": cells}
        else:
            said = self._compared(shown["answers"], dimensions, quoted, draws)
        return {"reasoning": "A fake does not think."} | said if "reasoning" in schema["properties"] else said

    def _compared(
        self, answers: dict[str, str], dimensions: list[str], quoted: bool, draws: random.Random
    ) -> dict[str, Any]:
        verdict = self._winner(answers, draws)
        marks = {label: 3 if verdict == "tie" else 4 if label == verdict else 2 for label in answers}
        scores = {
            name: {label: self._cell(text, name, marks[label], quoted) for label, text in answers.items()}
            for name in dimensions
        }
        return ({"scores": scores} if dimensions else {}) | {"verdict": verdict}

    def _winner(self, answers: dict[str, str], draws: random.Random) -> str:
        first, last = answers
        draw = draws.random()
        if draw < abs(self.position_bias):
            return first if self.position_bias > 0 else last
        draw -= abs(self.position_bias)
        lengths = {label: len(text) for label, text in answers.items()}
        if draw < self.length_bias and lengths[first] != lengths[last]:
            return max(lengths, key=lengths.__getitem__)
        if 0 <= draw - self.length_bias < self.noise:
            return draws.choice([first, last])
        worth = {label: self.score(text) for label, text in answers.items()}
        worth[first] += self.lean
        return "tie" if worth[first] == worth[last] else max(worth, key=worth.__getitem__)

    def _alone(self, text: str, draws: random.Random) -> int:
        """A mark for an answer alone: worth 0, 1, 3, 7, 15 make 1 to 5."""
        if draws.random() < self.noise:
            return draws.randint(1, 5)
        return 1 + min(4, int(math.log2(1 + max(0.0, self.score(text)))))

    def _cell(self, text: str, dimension: str, mark: int, quoted: bool) -> dict[str, Any]:
        score = self.marks(text, dimension) if self.marks else mark
        return {"evidence": " ".join(text.split()[:5]), "score": score} if quoted else {"score": score}


def question(body: dict[str, Any]) -> dict[str, Any]:
    """What stands in the fence."""
    [(_, data)] = _FENCE.findall(body["messages"][-1]["content"])
    return json.loads(data)


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    """The schema of the reply, wherever this form of request carries it."""
    form = body.get("response_format", {})
    if form.get("type") == "json_schema":
        return form["json_schema"]["schema"]
    if body.get("tools"):
        return body["tools"][0]["function"]["parameters"]
    return json.loads(body["messages"][0]["content"].rsplit("\n", 1)[-1])


def logprobs(content: str, said: dict[str, Any], labels: list[str]) -> list[dict[str, Any]]:
    """`logprobs.content` of a reply, with alternatives at the token that decides its verdict."""
    verdict = said.get("verdict")
    at = content.rindex(f'"{verdict}"') + 1 if verdict else len(content)
    head = [content[i : i + 4] for i in range(0, at, 4)]
    head[-1:] = [content[4 * (len(head) - 1) : at]] if head else []
    tokens = [{"token": piece, "logprob": 0.0, "top_logprobs": []} for piece in head if piece]
    if verdict:
        others = [name for name in (*labels, "tie") if name != verdict]
        shares = {verdict: SURE, **{name: (1 - SURE) / len(others) for name in others}}
        tops = [{"token": name, "logprob": math.log(share)} for name, share in shares.items()]
        tokens.append({"token": verdict, "logprob": math.log(SURE), "top_logprobs": tops})
        tokens.append({"token": content[at + len(verdict) :], "logprob": 0.0, "top_logprobs": []})
    return tokens
