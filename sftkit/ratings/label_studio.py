"""Ratings as tasks of Label Studio: the JSON that its import reads, and the JSON export that it writes.

Written: one task a comparison and order, `data` with prompt, reference, response_a and response_b; each human's word
as an annotation, each judge's as a prediction of that model version. Whose an annotation is stands in its text area
"rater", because Label Studio takes only its own users as annotators. `CONFIG` is the labelling configuration that goes
with it.

Read: that, and projects of others with two answers: Pairwise (left, right), Choices, Rating of 1 to 5, TextArea; a
cancelled annotation is a skip. A control that is none of these is kept in the rating's evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from sftkit.errors import Fault
from sftkit.ratings import foreign
from sftkit.ratings.dimensions import DIMENSIONS
from sftkit.ratings.foreign import Opinion, Shown
from sftkit.ratings.rating import VERDICTS

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations

_TEXTS = ("note", "reason", "rater")
_STARS = "".join(
    f'  <Rating name={quoteattr(f"{dimension.name}_{side}")} toName="response_{side}" maxRating="5"/>\n'
    for side in "ab"
    for dimension in DIMENSIONS
)
CONFIG = f"""<View>
  <Text name="prompt" value="$prompt"/>
  <Text name="response_a" value="$response_a"/>
  <Text name="response_b" value="$response_b"/>
  <Pairwise name="verdict" toName="response_a,response_b"/>
  <Choices name="other" toName="prompt" choice="single"><Choice value="tie"/><Choice value="both_bad"/></Choices>
{_STARS}  <TextArea name="note" toName="prompt"/>
  <TextArea name="reason" toName="prompt"/>
  <TextArea name="rater" toName="prompt"/>
  <TextArea name="tags" toName="prompt"/>
</View>"""


def written(frame: pd.DataFrame, answers: Generations) -> list[dict[str, Any]]:
    """The list of tasks that Label Studio imports."""
    return [_task(one) for one in foreign.shown(frame, answers)]


def read(data: Any) -> tuple[Iterator, Generations | None, list[Fault]]:
    """(rows for exchange, answers to register, faults) of Label Studio's JSON export."""
    if not isinstance(data, list):
        raise ValueError("it is no list of tasks; export the project as JSON (not JSON-MIN)")
    found = [
        (f"row {number}", *foreign.shaped(_understood, task, "Label Studio"))
        for number, task in enumerate(data, start=1)
    ]
    good = [one for _, one, faults in found if not faults]
    return foreign.rows(found), foreign.registered(good), []


def _task(one: Shown) -> dict[str, Any]:
    from sftkit.generation.table import prompt_text

    data = {"prompt": prompt_text(one.prompt) if one.prompt else "", "response_a": one.text_left or ""}
    data |= {"response_b": one.text_right or "", **foreign.about(one)}
    data |= {"reference": one.reference} if one.reference else {}
    task: dict[str, Any] = {"data": data, "annotations": [], "predictions": []}
    for opinion in one.opinions:
        result = _result(opinion)
        if opinion.rater.startswith("judge:"):
            task["predictions"].append({"model_version": opinion.rater, "result": result})
            continue
        task["annotations"].append(
            {"result": result, "was_cancelled": opinion.verdict == "skipped", "lead_time": opinion.seconds,
             "ground_truth": False, "created_at": opinion.created}
        )  # fmt: skip
    return task


def _result(opinion: Opinion) -> list[dict[str, Any]]:
    items = []

    def add(name: str, kind: str, to: str, value: dict[str, Any]) -> None:
        items.append(
            {"id": f"{name}-{len(items)}", "from_name": name, "to_name": to, "type": kind, "value": value}
        )

    if opinion.verdict in ("a", "b"):
        add(
            "verdict",
            "pairwise",
            "response_a,response_b",
            {"selected": "left" if opinion.verdict == "a" else "right"},
        )
    elif opinion.verdict != "open":
        add("other", "choices", "prompt", {"choices": [opinion.verdict]})
    for name, side, value in foreign.sided(opinion.scores):
        add(
            f"{name}_{side}" if side else name,
            "rating",
            f"response_{side}" if side else "prompt",
            {"rating": value},
        )
    for name in _TEXTS:
        if text := getattr(opinion, name):
            add(name, "textarea", "prompt", {"text": [text]})
    if opinion.tags:
        add("tags", "textarea", "prompt", {"text": opinion.tags})
    return items


def _understood(task: Any) -> tuple[Shown | None, list[Fault]]:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return None, [Fault("data", "is missing.", "Export the project as JSON (not JSON-MIN).")]
    one, sides, faults = foreign.understood(task["data"], task["data"])
    if one is None:
        return None, faults
    for note in task.get("annotations") or []:
        opinion = Opinion(_annotator(note.get("completed_by")), seconds=note.get("lead_time"))
        opinion.created = note.get("updated_at") or note.get("created_at")
        faults += _take(opinion, note.get("result") or [], sides)
        if note.get("was_cancelled"):
            opinion.verdict, opinion.reason = "skipped", opinion.reason or "cancelled in Label Studio"
        one.opinions.append(_keyed(opinion, one, note))
    for guess in task.get("predictions") or []:
        version = str(guess.get("model_version") or "label-studio")
        opinion = Opinion(version if version.startswith("judge:") else f"judge:{version}")
        faults += _take(opinion, guess.get("result") or [], sides)
        one.opinions.append(_keyed(opinion, one, guess))
    return one, faults


def _keyed(opinion: Opinion, one: Shown, source: dict[str, Any]) -> Opinion:
    parts = (one.prompt_id, one.left, one.right, opinion.rater, source.get("id"), source.get("result"))
    opinion.key = foreign.content_key("label-studio", *parts, bool(source.get("was_cancelled")))
    return opinion


def _annotator(by: Any) -> str:
    """Label Studio gives a user's number, or all about him."""
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return f"human:{by if by is not None else 'label-studio'}"


def _take(opinion: Opinion, result: list[Any], sides: tuple[str, str]) -> list[Fault]:
    faults = []
    for item in result:
        value = item.get("value") if isinstance(item, dict) else None
        if not isinstance(value, dict):
            faults.append(Fault("result", f"holds {item!r:.60}, which has no value."))
            continue
        _take_one(opinion, str(item.get("from_name")), str(item.get("to_name")), value, sides)
    return faults


def _take_one(opinion: Opinion, name: str, to: str, value: dict[str, Any], sides: tuple[str, str]) -> None:
    chosen = [value["selected"]] if isinstance(value.get("selected"), str) else value.get("choices")
    texts = value.get("text")
    texts = [texts] if isinstance(texts, str) else texts
    if chosen:
        words = [foreign.verdict_of(word, sides) for word in chosen]
        if verdict := next((word for word in words if word in VERDICTS), None):
            opinion.verdict = verdict
        else:
            opinion.tags = [*opinion.tags, *map(str, chosen)]
    elif "rating" in value:
        side = dict(zip(sides, "ab")).get(to) if name[-2:] not in ("_a", "_b") else None
        foreign.take_score(opinion, name, value["rating"], side)
    elif texts and name == "tags":
        opinion.tags = [*opinion.tags, *texts]
    elif texts:
        setattr(opinion, name if name in _TEXTS else "note", "\n".join(texts))
    else:
        opinion.evidence.setdefault("label_studio", []).append({"from_name": name, "value": value})
