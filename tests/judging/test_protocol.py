"""Every rule is a switch with a name of its own, and what is drawn is balanced and the same in every process."""

import hashlib
import itertools
from collections import Counter

import pandas as pd
import pytest

from sftkit.errors import ConfigError, JudgeError
from sftkit.generation import Generations
from sftkit.judging.plan import Plan
from sftkit.judging.protocol import VERSIONS, Protocol, kind_of_task
from sftkit.judging.rubric import QUESTIONS, system_prompt
from sftkit.ratings import DIMENSIONS, Dimension


def make_answers(count=40, models=("base", "tuned"), task=None, reference=None):
    rows = [
        {"prompt": f"q {i}", "model": name, "response": f"{name} {i}", "task": task, "reference": reference}
        for i in range(count)
        for name in models
    ]
    return Generations.from_frame(pd.DataFrame(rows))


def calls(protocol, answers=None, **more):
    plan = Plan("m", f"judge:m/{protocol.name}", protocol, answers or make_answers(), **more)
    return plan.calls({})


def test_the_words_are_pinned_to_the_version():
    """Changed words are a new protocol: give VERSIONS a new number, then pin the new words here."""
    words = [system_prompt(Protocol()), system_prompt(Protocol(mode="pointwise")), QUESTIONS]
    digests = [hashlib.sha256(text.encode()).hexdigest()[:8] for text in words]
    assert (VERSIONS, digests) == ({"pairwise": 2, "pointwise": 1}, PINNED)


PINNED = ["03c1d682", "7beecdca", "36f41f96"]


def test_a_changed_rule_is_another_rater_and_a_changed_plan_is_not():
    assert Protocol().name == "pairwise-v2" and Protocol(mode="pointwise").name == "pointwise-v1"
    changed = [
        Protocol(**rule)
        for rule in (
            {"both_orders": False}, {"dimensions": DIMENSIONS[:1]}, {"evidence": False}, {"rules_first": False},
            {"reference": "off"}, {"questions": "on"}, {"chain_of_thought": True}, {"temperature": 0.7}, {"seed": 1},
            {"safety_gate": False}, {"shuffle_labels": False}, {"shuffle_dimensions": False}, {"tie_margin": 0.5},
        )
    ]  # fmt: skip
    names = {p.name for p in changed}
    assert len(names) == len(changed) and all(name.startswith("pairwise-v2.") for name in names)
    plans = [
        {"mask_flagged": False},
        {"logprobs": False},
        {"canaries": 0},
        {"repeats": 3},
        {"extra_pairs": 5},
    ]
    assert {Protocol(**plan).name for plan in plans} == {"pairwise-v2"}
    switches = {name for name, *_ in Protocol.fields()}
    assert switches == {f for rule in plans for f in rule} | {
        "mode", "both_orders", "dimensions", "evidence", "rules_first", "reference", "questions", "chain_of_thought",
        "temperature", "seed", "safety_gate", "shuffle_labels", "shuffle_dimensions", "tie_margin",
    }  # fmt: skip


def test_all_faults_at_once():
    with pytest.raises(ConfigError) as caught:
        Protocol(
            mode="triple", canaries=-1, repeats=0, temperature=3, questions="maybe", evidence="yes", seed=1.5
        )
    assert {f.field for f in caught.value.faults} == {
        "mode", "canaries", "repeats", "temperature", "questions", "evidence", "seed"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="both_orders"):
        Protocol().with_rules(both_order=False)
    with pytest.raises(ConfigError, match="same name"):
        Protocol(dimensions=[DIMENSIONS[0], DIMENSIONS[0]])
    with pytest.raises(ConfigError, match="needed"):
        Protocol(mode="pointwise", dimensions=())


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("arithmetic", "closed"),
        ("closed_qa", "closed"),
        ("Information Extraction", "closed"),
        ("extract", "closed"),
        ("classification", "closed"),
        ("code", "closed"),
        ("rewrite", "closed"),
        ("facts", "closed"),
        ("open_qa", "open"),
        ("brainstorming", "open"),
        ("creative-writing", "open"),
        ("summarize", "open"),
        ("harmless", "unknown"),
        ("refuse", "unknown"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_tasks_are_closed_open_or_unknown(task, kind):
    assert kind_of_task(task) == kind
    protocol = Protocol()
    assert protocol.asks_questions(task) == (kind == "closed") and protocol.shows_reference(task) == (
        kind != "open"
    )
    assert Protocol(questions="on", reference="on").asks_questions(task)
    assert not Protocol(questions="off", reference="off").shows_reference(task)


def test_each_answer_bears_each_label_once_and_stands_first_once():
    made = calls(Protocol(canaries=0))
    assert len(made) == 80
    shapes = {(c.prompt_id, c.shown_first): c.request.shape for c in made}
    for prompt in {c.prompt_id for c in made}:
        one, two = shapes[prompt, "a"], shapes[prompt, "b"]
        assert one.labels[0][1] == "a" and two.labels[0][1] == "b"
        assert {name for name, side in (*one.labels, *two.labels) if side == "a"} == {"K", "M"}
    first = Counter(c.request.shape.names[0] for c in made)
    assert min(first.values()) > 20, "over the prompts each label stands first about as often"
    plain = calls(Protocol(canaries=0, shuffle_labels=False))
    assert {c.request.shape.names for c in plain} == {("answer_1", "answer_2")}


def test_dimensions_change_places_by_prompt_in_few_orders():
    made = calls(Protocol(canaries=0), make_answers(200))
    orders = {c.request.shape.dimensions for c in made}
    assert len(orders) == 6, "every schema is compiled by the endpoint: no more than needed"
    for place in range(6):
        assert len({order[place] for order in orders}) == 6, "each dimension in each place"
    follows = {pair for order in orders for pair in itertools.pairwise(order)}
    assert len(follows) == 30, "each after each other"
    assert len({c.request.shape.dimensions for c in made if c.prompt_id == made[0].prompt_id}) == 1
    fixed = calls(Protocol(canaries=0, shuffle_dimensions=False))
    assert {c.request.shape.dimensions for c in fixed} == {tuple(d.name for d in DIMENSIONS)}
    odd = [*DIMENSIONS[:2], Dimension("style", "Style", {1: "a", 3: "b", 5: "c"}, "d")]
    assert len({c.request.shape.dimensions for c in calls(Protocol(canaries=0, dimensions=odd))}) == 3


def test_one_order_is_drawn_by_prompt():
    made = calls(Protocol(canaries=0, both_orders=False))
    assert len(made) == 40 and 10 < sum(c.shown_first == "a" for c in made) < 30


def test_repeats_are_raters_of_their_own():
    made = calls(Protocol(canaries=0, repeats=3), make_answers(2))
    assert Counter(c.rater for c in made) == {
        "judge:m/pairwise-v2": 4,
        "judge:m/pairwise-v2#2": 4,
        "judge:m/pairwise-v2#3": 4,
    }
    assert len({c.request.hash for c in made}) == 12 and {dict(c.request.settings)["seed"] for c in made} == {
        0,
        1,
        2,
    }


def test_extra_pairs_are_random_and_leave_out_the_baseline():
    answers = make_answers(10, ("base", "x", "y", "z"))
    made = calls(Protocol(canaries=0, extra_pairs=12), answers)
    extra = [c for c in made if c.part == "extra"]
    assert len(extra) == 24 and all("base" not in (c.model_a, c.model_b) for c in extra)
    assert extra == [c for c in calls(Protocol(canaries=0, extra_pairs=12), answers) if c.part == "extra"]
    assert len([c for c in calls(Protocol(canaries=0, extra_pairs=999), answers) if c.part == "extra"]) == 60


def test_a_reference_is_shown_unless_the_task_is_open():
    for task, shown in (("arithmetic", True), (None, True), ("brainstorming", False)):
        [call, *_] = calls(Protocol(canaries=0), make_answers(1, task=task, reference="the 42"))
        assert ("the 42" in call.request.data) == shown


def test_pointwise_asks_about_each_answer_once():
    made = calls(Protocol(mode="pointwise", canaries=0), make_answers(5, ("base", "x", "y")))
    assert len(made) == 15 and {c.model_b for c in made} == {"aside:alone"}


def test_names_of_canaries_are_kept():
    with pytest.raises(JudgeError, match="canary:x"):
        calls(Protocol(), make_answers(1, ("base", "canary:x")))
