"""What other annotation tools can hold of the ratings, and how their words are read: two answers side by side, and
what each rater thinks of them. ratings.argilla and ratings.label_studio write it in their tool's shape.

In another tool an answer is where it was shown, not whose it is: `left` and `right` are models. Two orders of one
comparison are two of these, so a judge who saw both keeps both verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sftkit.errors import Fault
from sftkit.ratings.rating import VERDICTS

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations

# What people call the two answers and the prompt in their own projects; ours come first.
SIDES = (
    ("response_a", "response_b"), ("answer_a", "answer_b"), ("response1", "response2"), ("response_1", "response_2"),
    ("response-1", "response-2"), ("answer1", "answer2"), ("answer_1", "answer_2"), ("text1", "text2"),
    ("text_a", "text_b"), ("output_a", "output_b"), ("completion_a", "completion_b"), ("generation_1", "generation_2"),
    ("generation-1", "generation-2"), ("chosen", "rejected"), ("left", "right"), ("a", "b"),
)  # fmt: skip
PROMPTS = ("prompt", "instruction", "question", "input", "query", "context", "text")
_WORDS = {"left": "a", "right": "b", "both": "tie", "equal": "tie", "same": "tie", "neither": "both_bad"}
_WORDS |= {"none": "both_bad", "skip": "skipped"} | {verdict: verdict for verdict in VERDICTS}
_FLIPPED = {"a": "b", "b": "a"}


@dataclass
class Opinion:
    """One rater's word on a Shown: verdict and scores with a = left and b = right."""

    rater: str
    verdict: str = "open"
    scores: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    reason: str = ""
    tags: list[str] = field(default_factory=list)
    seconds: float | None = None
    created: str | None = None
    key: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass
class Shown:
    """Two answers to one prompt as they stand side by side. `known`: the raters are known to have seen them so."""

    prompt_id: str | None
    left: str
    right: str
    prompt: Any = None  # messages, or text
    task: str | None = None
    reference: str | None = None
    text_left: str | None = None
    text_right: str | None = None
    known: bool = True
    opinions: list[Opinion] = field(default_factory=list)


def shown(frame: pd.DataFrame, answers: Generations) -> list[Shown]:
    """Every comparison registered or rated, with what stands of each rater; comparisons of two models only."""
    from sftkit.ratings.votes import of_models

    prompts = {row["prompt_id"]: row for row in answers.prompts.to_dict("records")}
    texts = dict(zip(zip(answers.frame["prompt_id"], answers.frame["model"]), answers.frame["response"]))
    current = of_models(frame[frame["current"]])
    found: dict[tuple, Shown] = {}
    for row in current.to_dict("records"):
        left, right = _order(row["prompt_id"], row["model_a"], row["model_b"], row["shown_first"])
        known = row["shown_first"] is not None
        one = found.setdefault(
            (row["prompt_id"], left, right, known), _described(row["prompt_id"], left, right, prompts, texts)
        )
        one.known = known
        one.opinions.append(_opinion(row, swapped=left != row["model_a"]))
    rated = {(prompt_id, frozenset((left, right))) for prompt_id, left, right, _ in found}
    for row in answers.pairs().to_dict("records"):
        if (row["prompt_id"], frozenset((row["model_a"], row["model_b"]))) not in rated:
            left, right = _order(row["prompt_id"], row["model_a"], row["model_b"], None)
            found[row["prompt_id"], left, right, True] = _described(
                row["prompt_id"], left, right, prompts, texts
            )
    return list(found.values())


def rows(
    found: Iterable[tuple[str, Shown, list[Fault]]],
) -> Iterator[tuple[str, dict[str, Any], list[Fault]]]:
    """Ratings as exchange takes them, one an opinion."""
    for where, one, faults in found:
        if faults:
            yield where, {}, faults
        for opinion in one.opinions if not faults else []:
            values = {
                "prompt_id": one.prompt_id, "model_a": one.left, "model_b": one.right, "rater": opinion.rater,
                "verdict": opinion.verdict, "scores": opinion.scores, "note": opinion.note, "tags": opinion.tags,
                "seconds": opinion.seconds, "reason": opinion.reason, "key": opinion.key,
                "evidence": opinion.evidence, "shown_first": "a" if one.known else None,
            }  # fmt: skip
            created, late = _instant(opinion.created)
            yield where, {**values, "created": created}, late


def registered(found: Iterable[Shown]) -> Generations | None:
    """The answers that came with the comparisons, to be registered with them; None where there are none."""
    import pandas as pd

    from sftkit.generation.table import Generations

    table: dict[tuple, dict[str, Any]] = {}
    for one in found:
        for model, text in ((one.left, one.text_left), (one.right, one.text_right)):
            if one.prompt is not None and text is not None:
                table.setdefault(
                    (one.prompt_id, model, text),
                    {"prompt_id": one.prompt_id, "prompt": one.prompt, "task": one.task, "reference": one.reference,
                     "model": model, "response": text},
                )  # fmt: skip
    return Generations.from_frame(pd.DataFrame(list(table.values()), dtype=object)) if table else None


def standing(rows: Iterable[dict[str, Any]]) -> set[str]:
    """Each row as who says what of which comparison, whichever model it calls a: the same word is the same text."""
    return {_standing(row) for row in rows}


def not_standing(rows: Iterable[dict[str, Any]], stand: set[str]) -> list[dict[str, Any]]:
    """The rows that say something new: another tool gives back also what nobody changed there."""
    return [row for row in rows if _standing(row) not in stand]


def _standing(row: dict[str, Any]) -> str:
    models = {"a": row["model_a"], "b": row["model_b"]}
    scores = [(name, models.get(side), float(value)) for name, side, value in sided(row["scores"])]
    said = [
        row["rater"],
        row["prompt_id"],
        sorted(models.values()),
        models.get(row["verdict"], row["verdict"]),
    ]
    first = models.get(row["shown_first"])
    return json.dumps(
        [*said, first, sorted(scores, key=str), row["note"], row["reason"], sorted(row["tags"])]
    )


def understood(
    fields: dict[str, Any], about: dict[str, Any]
) -> tuple[Shown | None, tuple[str, str], list[Fault]]:
    """The comparison that a record of another tool shows, the names of its two answers, and what is wrong with it.

    fields: prompt and answers by their names there; about: prompt_id, model_a, model_b, task … where they were given.
    Models without a name are called after their field.
    """
    from sftkit.generation.table import as_messages, prompt_id_of

    sides = next((pair for pair in SIDES if all(isinstance(fields.get(name), str) for name in pair)), None)
    if sides is None:
        have = ", ".join(map(repr, fields)) or "none"
        return None, ("", ""), [Fault("fields", f"has no two answers (it has {have}).", "Call them response_a and response_b.")]  # fmt: skip
    prompt = next((fields[name] for name in PROMPTS if name in fields and name not in sides), None)
    messages = about.get("messages")
    try:
        prompt = json.loads(messages) if isinstance(messages, str) else messages or prompt
        prompt = as_messages(prompt)
    except ValueError as error:
        return None, sides, [Fault("prompt", f"{error}.", f"Looked for: {', '.join(PROMPTS)}.")]
    text = {name: value if isinstance(value, str) else None for name, value in {**fields, **about}.items()}
    one = Shown(
        prompt_id=str(about.get("prompt_id") or prompt_id_of(prompt)),
        left=text.get("model_a") or sides[0], right=text.get("model_b") or sides[1], prompt=prompt,
        task=text.get("task"), reference=text.get("reference"), known=about.get("order_known", True) is not False,
        text_left=fields[sides[0]] if about.get("answers_known", True) else None,
        text_right=fields[sides[1]] if about.get("answers_known", True) else None,
    )  # fmt: skip
    return one, sides, []


def shaped(
    understand: Callable[[Any], tuple[Shown | None, list[Fault]]], record: Any, tool: str
) -> tuple[Shown | None, list[Fault]]:
    """What `understand` makes of the record, or the fault that it is shaped as the tool never writes it."""
    try:
        return understand(record)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        return None, [Fault("", f"is not shaped as {tool} writes it: {error}.")]


def verdict_of(value: Any, sides: tuple[str, str]) -> str | None:
    """What a chosen word means: "a", "left" or the left answer's own name, and so on; None when it is no verdict."""
    if not isinstance(value, str):
        return None
    word = value.strip().lower().replace(" ", "_").replace("-", "_")
    own = {name.lower().replace("-", "_"): side for name, side in zip(sides, "ab")}
    return own.get(word) or _WORDS.get(word)


def about(one: Shown) -> dict[str, Any]:
    """What goes beside the texts, so that the comparison can be known again."""
    known = one.text_left is not None and one.text_right is not None
    found = {"prompt_id": one.prompt_id, "model_a": one.left, "model_b": one.right, "order_known": one.known}
    found |= (
        {} if known else {"answers_known": False}
    )  # rated and never registered: empty texts are no answers
    found |= {"task": one.task} if one.task else {}
    return found | ({"messages": json.dumps(one.prompt, ensure_ascii=False)} if one.prompt else {})


def take_score(opinion: Opinion, question: str, value: float, side: str | None = None) -> None:
    """Add a rating control's number: of one answer where its name ends in _a or _b, else of the comparison."""
    if side is None and question[-2:] in ("_a", "_b"):
        question, side = question[:-2], question[-1]
    known = opinion.scores.get(question)
    opinion.scores[question] = {**(known if isinstance(known, dict) else {}), side: value} if side else value


def sided(scores: dict[str, Any]) -> Iterator[tuple[str, str | None, Any]]:
    """(dimension, "a", "b" or None, value) of each score."""
    for name, score in scores.items():
        for side, value in score.items() if isinstance(score, dict) else [(None, score)]:
            yield name, side, value


def content_key(tool: str, *parts: Any) -> str:
    """A key by content: the same file again adds nothing, a changed opinion is a new rating."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return f"{tool}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def _order(prompt_id: str, model_a: str, model_b: str, first: str | None) -> tuple[str, str]:
    """(left, right): as it was shown; where nobody knows, by a hash, so that no model always stands left."""
    if first is not None:
        return (model_a, model_b) if first == "a" else (model_b, model_a)
    low, high = sorted((model_a, model_b))
    bit = hashlib.sha256(json.dumps([prompt_id, low, high]).encode()).digest()[0] & 1
    return (high, low) if bit else (low, high)


def _described(prompt_id: str, left: str, right: str, prompts: dict, texts: dict) -> Shown:
    about = prompts.get(prompt_id, {})
    one = Shown(prompt_id, left, right, about.get("prompt"), about.get("task"), about.get("reference"))
    one.text_left, one.text_right = texts.get((prompt_id, left)), texts.get((prompt_id, right))
    return one


def _opinion(row: dict[str, Any], swapped: bool) -> Opinion:
    verdict, scores = row["verdict"], row["scores"]
    if swapped:
        verdict = _FLIPPED.get(verdict, verdict)
        scores = {
            name: {_FLIPPED[side]: value for side, value in score.items()}
            if isinstance(score, dict)
            else score
            for name, score in scores.items()
        }
    seconds = None if row["seconds"] != row["seconds"] else row["seconds"]
    created = row["created"].isoformat(timespec="nanoseconds")
    return Opinion(
        row["rater"], verdict, scores, row["note"], row["reason"], list(row["tags"]), seconds, created
    )


def _instant(created: str | None) -> tuple[float | None, list[Fault]]:
    from sftkit.ratings.exchange_files import seconds_of

    try:
        return (None if created is None else seconds_of(created)), []
    except (ValueError, TypeError):
        return None, [Fault("created_at", f"{created!r} is no time as ISO 8601 writes it.")]
