"""Which comparisons a rater makes, and which answer stands where: decided by a recorded rule, not by chance.

The rule, named in every rating's evidence: sha256 over seed, rater, prompt and the models (sorted by name) gives a stream
of bytes; the sorted models are shuffled by Fisher and Yates, each draw the next byte modulo the places left (a byte that
would favour some place is passed over). For two models that is the lowest bit of the first byte. So a restart shows the
same order, another rater sees another, and neither can guess.

A share of the comparisons comes again, in the reverse order, to measure how far a rater agrees with himself; a share has an
answer that was made worse on purpose, to see whether he reads at all. Which ones, and where they stand, follows from the
same hash; nothing about them shows but their text.

Source of the shuffle: R. Durstenfeld, "Algorithm 235: Random permutation", CACM 7 (1964) 420.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftkit.errors import ConfigError, Fault
from sftkit.ratings.rating import CANARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sftkit.generation.table import Generations

RULE = "sha256-sides-v2"  # v1 knew pairs only; for a pair both give the same sides
ACROSS = (2, 6)  # answers side by side, at least and at most
APART = 10  # rows at least between a comparison and its repeat
_LATEST = 40  # rows at most, so that a rater who stops early has met some of his repeats
ELSEWHERE = CANARY + "elsewhere"  # a whole answer, but to another prompt
STUB = CANARY + "stub"  # the first few words of the answer beside it
_WORDS, _LETTERS = 4, 24  # what is left of a stub, at most
_LONG = 120  # characters that an answer must have for its stub to be surely worse


@dataclass(frozen=True)
class Comparison:
    """The answers of 2 to 6 models to one prompt.

    id: names no model, and is the same for every rater. models: the baseline first. shown: the same models from left to
    right, as the rule has them for this rater. repeat: shown before, the other way round. check: the last of `models` is
    no model but an answer that was made worse (`check_answers` has its text).
    """

    id: str
    prompt_id: str
    models: tuple[str, ...]
    shown: tuple[str, ...]
    repeat: bool = False
    check: bool = False

    @property
    def baseline(self) -> str:
        return self.models[0]

    @property
    def other(self) -> str:
        """The model beside the baseline; of more than two, the first."""
        return self.models[1]

    @property
    def baseline_left(self) -> bool:
        return self.shown[0] == self.models[0]


def comparisons(
    answers: Generations,
    rater: str,
    models: Sequence[str] | None = None,
    seed: int = 0,
    across: int = 2,
    repeats: float = 0.0,
    checks: float = 0.0,
) -> list[Comparison]:
    """`across` models side by side on each prompt that they answered, the first of `models` (default: of the answers)
    always among them: with across=2 each other model against the first, with as many as there are models all at once.

    Where one row cannot hold all models the rounds rotate: no prompt comes twice in a row, and a rater who stops early
    has seen all models about equally often. repeats, checks: shares (0 to 0.5) of these comparisons that come again at
    least 10 rows later in reverse order, and that are added with an answer made worse. Fewer come where there is no room
    or no fit answer. ConfigError names every model without answers and every argument out of its range.
    """
    chosen = list(dict.fromkeys(models if models is not None else answers.models))
    _check(chosen, answers, across, repeats, checks)
    rows = list(_rounds(chosen, answers, rater, seed, across))
    again = again_after(rows, rater, seed, round(repeats * len(rows)))
    worse = list(_checks(rows, answers, rater, seed, round(checks * len(rows)))) if checks else []
    places = [(float(place), row) for place, row in enumerate(rows)]
    places += [(place, _repeated(rows[at])) for at, place in again.items()]
    places += [(draw(seed, rater, "place", check.id) * len(rows), check) for check in worse]
    return [row for _, row in sorted(places, key=lambda placed: placed[0])]


def again_after(rows: Sequence[Comparison], rater: str, seed: int, count: int) -> dict[int, float]:
    """Which `count` of the rows come again, and after how many rows: {index: place between two rows}."""
    room = [at for at in range(len(rows)) if at + APART < len(rows)]
    lot = sorted(room, key=lambda at: draw(seed, rater, "repeat", rows[at].id))[:count]
    return {at: min(at + gap(rows[at].id, rater, seed), len(rows) - 1) + 0.5 for at in lot}


def gap(comparison: str, rater: str, seed: int) -> int:
    """How many rows later the comparison of that id comes again: 10 to 40, by its hash."""
    return APART + int(draw(seed, rater, "gap", comparison) * (_LATEST - APART + 1))


def draw(*parts: Any) -> float:
    """A number from 0 to 1 (1 excluded), evenly spread over different `parts` and the same for the same ones."""
    return int.from_bytes(hashlib.sha256(_bytes(list(parts))).digest()[:7], "big") / 2**56


def _check(chosen: list[str], answers: Generations, across: int, repeats: float, checks: float) -> None:
    have = ", ".join(map(repr, answers.models)) or "none"
    faults = [
        Fault("models", f"{name!r} has no answers here.", f"Known: {have}.")
        for name in chosen
        if name not in answers.models
    ]
    low, high = ACROSS
    if isinstance(across, bool) or not isinstance(across, int) or not low <= across <= high:
        faults.append(Fault("across", f"is {across!r}.", f"Give a whole number from {low} to {high}."))
    for name, share in {"repeats": repeats, "checks": checks}.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 0.5:
            faults.append(
                Fault(name, f"is {share!r}.", "Give a share from 0 to 0.5 (0.1: one row in ten more).")
            )
    if faults:
        raise ConfigError(faults)


def _rounds(
    chosen: list[str], answers: Generations, rater: str, seed: int, across: int
) -> Iterator[Comparison]:
    answered = set(zip(answers.frame["prompt_id"], answers.frame["model"]))
    prompts = list(dict.fromkeys(answers.frame["prompt_id"]))
    baseline, others = chosen[:1], chosen[1:]
    for first in range(0, len(others), across - 1):
        for place, prompt in enumerate(prompts):
            turned = [others[(place + n) % len(others)] for n in range(first, first + across - 1)]
            if first + across - 1 > len(others):  # the last round has fewer left
                turned = turned[: len(others) - first]
            row = tuple(name for name in chosen if name in baseline + turned and (prompt, name) in answered)
            if len(row) > 1 and row[0] == baseline[0]:
                yield _comparison(prompt, row, rater, seed)


def _comparison(
    prompt_id: str, models: tuple[str, ...], rater: str, seed: int, check: bool = False
) -> Comparison:
    names = sorted(models)  # the same order whichever of them is called the baseline
    shown = _shuffled(names, _bytes([seed, rater, prompt_id, *names]))
    name = hashlib.sha256(_bytes([prompt_id, *names])).hexdigest()[:12]
    return Comparison(name, prompt_id, models, shown, check=check)


def _repeated(row: Comparison) -> Comparison:
    name = hashlib.sha256(_bytes(["again", row.id])).hexdigest()[:12]
    return Comparison(name, row.prompt_id, row.models, row.shown[::-1], repeat=True)


def _shuffled(names: list[str], key: bytes) -> tuple[str, ...]:
    stream, order = _stream(key), list(names)
    for place in range(len(order) - 1, 0, -1):
        even = 256 - 256 % (place + 1)  # bytes from here on would favour the first places
        byte = next(byte for byte in stream if byte < even)
        other = place - byte % (place + 1)
        order[place], order[other] = order[other], order[place]
    return tuple(order)


def _stream(key: bytes) -> Iterator[int]:
    digest = hashlib.sha256(key).digest()
    while True:
        yield from digest
        digest = hashlib.sha256(digest).digest()


def _checks(
    rows: list[Comparison], answers: Generations, rater: str, seed: int, count: int
) -> Iterator[Comparison]:
    """`count` of the rows with one answer exchanged for a worse one; one a prompt at most."""
    texts = _texts(answers)
    several = {name for name, said in texts.items() if len(set(said.values())) > 1}
    used: set[str] = set()
    for row in sorted(rows, key=lambda row: draw(seed, rater, "check", row.id)):
        if len(used) == count:
            return
        out = int(draw(seed, rater, "out", row.id) * len(row.models))
        kept = row.models[:out] + row.models[out + 1 :]
        text = texts[kept[0]].get(row.prompt_id, "").strip()
        kinds = [ELSEWHERE] * (kept[0] in several) + [STUB] * (len(text) >= _LONG)
        if text and kinds and row.prompt_id not in used:
            used.add(row.prompt_id)
            kind = kinds[int(draw(seed, rater, "kind", row.id) * len(kinds))]
            yield _comparison(row.prompt_id, (*kept, kind), rater, seed, check=True)


def check_answer(check: Comparison, answers: Generations) -> str:
    """The text of the answer that was made worse, for one comparison with `check`."""
    return check_answers([check], answers)[check.prompt_id, check.models[-1]]


def check_answers(found: Sequence[Comparison], answers: Generations) -> dict[tuple[str, str], str]:
    """{(prompt_id, the name in place of a model): text} of every answer that was made worse among `found`.

    Made from the answer of the first of the comparison's models: its first words, or what the same model answered to
    another prompt (of eight by hash, the one with the fewest words in common).
    """
    texts = _texts(answers)
    other = {name: list(dict.fromkeys(said.values())) for name, said in texts.items()}
    made = {}
    for check in (row for row in found if row.check):
        model, kind = check.models[0], check.models[-1]
        real = texts[model][check.prompt_id]
        made[check.prompt_id, kind] = (
            _stub(real) if kind == STUB else _elsewhere(check.prompt_id, real, other[model])
        )
    return made


def _texts(answers: Generations) -> dict[str, dict[str, str]]:
    """{model: {prompt_id: response}} of all answers that say something."""
    texts: dict[str, dict[str, str]] = {name: {} for name in answers.models}
    columns = (answers.frame[name] for name in ("prompt_id", "model", "response"))
    for prompt_id, model, response in zip(*columns):
        if response.strip():
            texts[model][prompt_id] = response
    return texts


def _stub(whole: str) -> str:
    return " ".join(whole.split()[:_WORDS])[:_LETTERS].rstrip()


def _elsewhere(prompt_id: str, real: str, others: list[str]) -> str:
    starts = [int(draw("elsewhere", prompt_id, turn) * len(others)) for turn in range(8)]
    near = [others[(start + step) % len(others)] for start in starts for step in (0, 1)]
    words = set(real.lower().split())
    return min((text for text in near if text != real), key=lambda text: _common(words, text))


def _common(words: set[str], text: str) -> float:
    """Words in both, over words in either (Jaccard's index)."""
    others = set(text.lower().split())
    return len(words & others) / (len(words | others) or 1)


def _bytes(parts: list) -> bytes:
    return json.dumps(parts).encode()
