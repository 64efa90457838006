"""What a judge was asked, rebuilt from its stored verdict: the store keeps the reply and the request's hash.

The request is made anew from the answers and the rules kept with the verdict, and is shown only if its hash is the one
that was stored. So what is shown is what was sent, the nonce of the fence apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftkit.errors import ConfigError
from sftkit.generation.table import Generations, Messages
from sftkit.judging import ledger
from sftkit.judging.plan import Plan
from sftkit.judging.protocol import Protocol

if TYPE_CHECKING:
    from sftkit.ratings.store import RatingStore


def model_of(rater: str) -> str:
    """The model in a judge's name, `judge:<model>/<protocol>`."""
    return rater.removeprefix("judge:").rpartition("/")[0]


def calls_behind(row: Any, store: RatingStore) -> dict[str, Any]:
    """The rows whose requests and replies led to `row`: itself, under ""; where each answer was scored alone, those of the
    two calls, under "a" and "b"."""
    ids = (row.evidence or {}).get("rows")
    if not ids:
        return {"": row}
    known = {part.id: part for part in store.frame(prompt_id=row.prompt_id).itertuples()}
    return {side: known[number] for side, number in zip("ab", ids) if number in known}


def asked(row: Any, answers: Generations, store: RatingStore) -> Messages | None:
    """The messages that led to `row` (a row of the store's frame); `answers`: the two models' answers to its prompt.

    None where they cannot be rebuilt: the rules were not kept, or words of ours have changed since.
    """
    rules = (row.evidence.get("protocol") or {}).get("rules")
    if rules is None or not row.request_hash:
        return None
    pair = answers.frame.sort_values("model", key=lambda names: names != row.model_a, kind="stable")
    try:
        protocol = Protocol.of({**rules, "canaries": 0})
        plan = Plan(model_of(row.rater), row.rater, protocol, Generations.from_frame(pair))
    except (ConfigError, TypeError, KeyError, AttributeError):  # rules of another version
        return None
    wanted = plan.question_calls()
    made = ledger.questions(ledger.rows(store, [plan.questions_rater]), wanted) if wanted else {}
    for call in plan.calls(made):
        if call.request.hash == row.request_hash:
            return call.request.messages()
    return None
