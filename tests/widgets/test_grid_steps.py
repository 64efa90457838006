"""What the store remembers for a page that opens anew: steps to undo and redo, earlier votes, the owner's instructions."""

from __future__ import annotations

import uuid
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sftkit.errors import ConfigError, StoreError
from sftkit.ratings import RatingStore
from sftkit.widgets.grid_votes import NOTHING

SPEC = spec_from_file_location("grid_page", Path(__file__).with_name("grid_page.py"))
grid_page = module_from_spec(SPEC)
SPEC.loader.exec_module(grid_page)
Page, answers = grid_page.Page, grid_page.answers


@pytest.fixture
def store():
    return RatingStore("sqlite://")


def told(page: Page, which: str = "done") -> list[tuple]:
    """The steps as a page that opens now gets them: (row, verdict or ranking before, and after)."""

    def short(opinion):
        return opinion["verdict"] or opinion["ranking"] or opinion["note"] or None

    return [(row, short(before), short(after)) for row, before, after in page.ask("hello")["steps"][which]]


def say(page: Page, row: int, step: str | None = None, **opinion) -> None:
    shown = page.ask("row", row=row)

    page.ask(
        "vote", id=shown["id"], opinion={**NOTHING, **opinion}, seconds=1, key=uuid.uuid4().hex,
        base=0, restored=False, next=False, step=step,
    )  # fmt: skip


def test_the_steps_of_before_are_there_in_another_kernel_and_language(store):
    page = Page(answers("ab"), store=store)
    for row, verdict in ((1, "a"), (3, "b"), (1, "tie")):
        say(page, row, verdict=verdict)
    again = Page(answers("ab"), store=store, lang="zh")
    assert told(again) == [(1, None, "a"), (3, None, "b"), (1, "a", "tie")] and told(again, "undone") == []
    say(again, 1, "undo", verdict="a")
    say(again, 3, "undo")
    third = Page(answers("ab"), store=store)
    assert told(third) == [(1, None, "a")]
    assert told(third, "undone") == [(1, "a", "tie"), (3, None, "b")]
    say(third, 3, "redo", verdict="b")
    assert told(third) == [(1, None, "a"), (3, None, "b")] and told(third, "undone") == [(1, "a", "tie")]
    say(third, 5, verdict="a")  # something new: nothing is left to do again
    assert told(third)[-1] == (5, None, "a") and told(third, "undone") == []
    assert told(Page(answers("ab"), store=store, rater="bo")) == []


def test_a_note_is_one_step_and_an_undo_may_take_back_a_part_of_a_burst(store):
    page = Page(answers("ab"), store=store)
    for note in ("w", "wh", "why"):
        say(page, 0, note=note)
    assert told(page) == [(0, None, "why")]
    say(page, 2, scores={"safety": {"a": 1, "b": 2}}, verdict="a")  # stored at once, two steps on the page
    say(page, 2, "undo", scores={"safety": {"a": 1}}, verdict=None, note="half")
    assert told(page)[1:] == [(2, None, "half")] and told(page, "undone") == [(2, "half", "a")]


def test_a_ranking_is_one_step(store):
    page = Page(answers("abc"), store=store)
    for ranking in ({"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 1, "c": 3}):
        say(page, 0, ranking=ranking)
    assert told(page) == [(0, None, {"a": 1, "b": 2, "c": 3}), (0, {"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 1, "c": 3})]  # fmt: skip
    assert "secret" not in page.sent


def test_only_the_newest_are_kept(store):
    page = Page(answers("ab", prompts=70), store=store)
    for row in range(70):
        say(page, row, verdict="a")
    assert [row for row, *_ in told(page)] == list(range(20, 70))


def test_earlier_votes_are_the_raters_own_until_the_names_are_shown(store):
    project = store.project("pilot", answers("ab"), overlap=2)
    ana, bo = (Page(store=store, project=project, rater=rater) for rater in ("ana", "bo"))
    ana.vote(0, "a", note="first")
    ana.vote(0, "both_bad")
    bo.vote(0, "a", scores={"safety": {"a": 5}})
    row = ana.ask("row", row=0)
    mine = ana.ask("history", id=row["id"])["earlier"]
    assert [(one["rater"], one["opinion"]["verdict"], one["opinion"]["note"]) for one in mine] == [
        ("", "a", "first"),
        ("", "both_bad", ""),
    ]
    ana.grid.reveal()
    both = ana.ask("history", id=row["id"])["earlier"]
    assert [one["rater"] for one in both] == ["", "", "bo"]
    same = ana.letters(0) == bo.letters(0)  # bo's verdict is told in the places that ana sees
    assert both[2]["opinion"]["verdict"] == ("a" if same else "b")
    assert both[2]["opinion"]["scores"] == {"safety": {"a" if same else "b": 5}}
    assert both[2]["when"].endswith("Z")


def test_instructions_are_the_projects_and_cannot_be_anything(store):
    store.project("pilot", answers("ab"), instructions="# Read\n\nboth answers")
    assert Page(store=store, project="pilot").ask("hello")["instructions"] == "# Read\n\nboth answers"
    assert Page(answers("ab"), store=store).ask("hello")["instructions"] == ""
    assert store.project("pilot", instructions="# Read\n\nboth answers").instructions.startswith("# Read")
    with pytest.raises(StoreError, match=r"instructions is '# Read.*not 'other'"):
        store.project("pilot", instructions="other")
    with pytest.raises(ConfigError, match=r"instructions.*bytes"):
        store.project("second", answers("ab"), instructions=b"x")
    with pytest.raises(ConfigError, match=r"20,000"):
        store.project("second", answers("ab"), instructions="x" * 20_001)


def test_a_project_of_before_there_were_instructions_opens(store):
    import sqlalchemy as sa

    from sftkit.ratings import tables

    project = store.project("old", answers("ab"))
    with store.writing() as connection:
        settings = connection.scalar(sa.select(tables.projects.c.settings))
        settings.pop("instructions")
        connection.execute(tables.projects.update().values(settings=settings))
    assert (
        store.project("old").instructions == "" and store.project("old", answers("ab")).name == project.name
    )
    assert store.project("old", instructions="").overlap == 1
    with pytest.raises(StoreError, match="instructions is '', not 'x'"):
        store.project("old", instructions="x")
