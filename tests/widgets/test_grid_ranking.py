"""Three to six answers in the grid's kernel half: rankings as pairs in the store, scores, tags, flags, skips, names."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sftkit.errors import ConfigError
from sftkit.ratings import RatingStore
from sftkit.widgets.grid_votes import NOTHING

SPEC = spec_from_file_location("grid_page", Path(__file__).with_name("grid_page.py"))
grid_page = module_from_spec(SPEC)
SPEC.loader.exec_module(grid_page)
Page, answers = grid_page.Page, grid_page.answers


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


def outcomes(store, prompt_id):
    """{(model_a, model_b): outcome} of the votes on a prompt, by the models' letters."""
    votes = store.votes()
    votes = votes[votes["prompt_id"] == prompt_id]
    return {(a[-1], b[-1]): outcome for a, b, outcome in zip(votes["model_a"], votes["model_b"], votes["outcome"])}  # fmt: skip


def test_a_ranking_is_stored_as_pairs_of_the_models_that_stood_there(store):
    page = Page(answers(), store=store)
    assert page.ask("hello")["columns"] == 4
    reply = page.rank(
        0, "c,ab,d", scores={"safety": {"a": 1, "d": 5}}, tags=["short"], flag=True, note="因为"
    )
    assert reply["state"] == "r" and page.grid.progress == (1, 6)
    assert outcomes(store, "p0") == {
        ("a", "b"): 0.5, ("a", "c"): 0.0, ("a", "d"): 1.0, ("b", "c"): 0.0, ("b", "d"): 1.0, ("c", "d"): 1.0,
    }  # fmt: skip
    frame, shown = page.grid.ratings, page.letters(0)
    assert len(frame) == 6 and set(frame["note"]) == {"因为"} and frame["flag"].all()
    for rating in frame.to_dict("records"):
        places = {side: shown.index(rating[f"model_{side}"][-1]) for side in "ab"}
        assert rating["shown_first"] == min(places, key=places.get)
        mine = {side: {0: 1, 3: 5}[place] for side, place in places.items() if place in (0, 3)}
        assert rating["scores"] == ({"safety": mine} if mine else {})
        ranking = rating["evidence"]["ranking"]
        assert [name[-1] for name in ranking["models"]] == list(shown)
        assert ranking["ranks"] == [{"c": 1, "a": 2, "b": 2, "d": 3}[name] for name in shown]


def test_it_is_there_again_after_a_restart_whole_or_half(store):
    page = Page(answers(), store=store)
    page.rank(0, "d,c,b,a", scores={"honesty": {"b": 2, "c": 4}})
    page.vote(1, ranking={"b": 1, "d": 2}, tags=["x"])
    again = Page(answers(), store=RatingStore(store.url), seed=9)
    assert again.ask("hello")["states"] == "ro...." and again.ask("hello")["tags"] == ["x"]
    for row in (0, 1):
        assert again.letters(row) == page.letters(row)
        assert again.ask("row", row=row)["opinion"] == page.ask("row", row=row)["opinion"]
    assert store.votes()["prompt_id"].unique().tolist() == ["p0"]  # half a ranking is no vote


def test_a_changed_ranking_counts_once_and_taken_back_not_at_all(store):
    page = Page(answers("abc"), store=store)
    page.rank(0, "a,b,c")
    page.rank(0, "c,b,a")
    assert outcomes(store, "p0") == {("a", "b"): 0.0, ("a", "c"): 0.0, ("b", "c"): 0.0}
    assert page.vote(0)["state"] == "." and store.votes().empty and len(store.frame()) == 9


def test_a_vote_sent_twice_is_one_and_all_of_it_or_nothing_is_stored(store, monkeypatch):
    page = Page(answers("abc"), store=store)
    row = page.ask("row", row=0)
    vote = {
        "id": row["id"],
        "opinion": {**NOTHING, "ranking": {"a": 1, "b": 2, "c": 3}},
        "seconds": 1,
        "key": "k",
    }
    first = page.ask("vote", base=0, restored=False, **vote)
    assert page.ask("vote", base=0, restored=True, **vote)["rating"] == first["rating"]
    assert not page.ask("vote", base=0, restored=True, **vote)["stale"] and len(store.frame()) == 3
    bad = {**NOTHING, "ranking": {"a": 1, "b": 2, "c": 3}, "scores": {"safety": {"c": 7}}}
    assert "7" in page.ask("vote", base=0, restored=False, **{**vote, "opinion": bad, "key": "l"})["error"]
    assert len(store.frame()) == 3
    newer = Page(answers("abc"), store=store)
    newer.rank(0, "a,b,c")
    assert newer.ask("vote", base=0, restored=True, **{**vote, "key": "m"})["stale"]


def test_a_skip_is_no_vote_and_names_its_reason(store):
    page = Page(answers("abc"), store=store)
    assert page.vote(0, "skipped", reason="unclear")["state"] == "s"
    assert store.votes().empty and set(store.frame()["reason"]) == {"unclear"}
    assert "reason" in page.vote(1, "skipped")["error"]
    pairs = Page(answers("ab"), store=store, rater="bo")
    assert (
        pairs.vote(0, "skipped", reason="no time")["state"] == "s"
        and pairs.vote(1, "both_bad")["state"] == "n"
    )
    again = Page(answers("ab"), store=store, rater="bo")
    assert again.ask("hello")["states"] == "sn...."
    assert again.ask("row", row=0)["opinion"]["reason"] == "no time"
    assert store.votes()["outcome"].tolist() == [0.5]


def test_across_says_how_many_stand_side_by_side(store):
    assert Page(answers("abc"), store=store, across=2).ask("hello")["columns"] == 2
    assert len(Page(answers("abcdefg"), store=store).grid._rows) == 6 * 6  # seven: each against the first
    with pytest.raises(ConfigError, match="across"):
        Page(answers("abc"), store=store, across=1)
    with pytest.raises(ConfigError, match="answers"):
        Page(store=store)


def test_repeats_and_checks_look_like_any_other_row_and_count_apart(store):
    page = Page(answers("ab", prompts=30), store=store, repeats=0.2, checks=0.1)
    rows = page.grid._rows.comparisons
    assert len(rows) == 30 + 6 + 3
    keys = {tuple(page.ask("row", row=row)) for row in range(len(rows))}
    assert len(keys) == 1
    for row in range(len(rows)):
        page.vote(row, "a")
    evidence = store.frame()["evidence"]
    assert (
        sum(e.get("repeat", False) for e in evidence) == 6
        and sum(e.get("check", False) for e in evidence) == 3
    )
    assert (
        Page(answers("ab", prompts=30), store=store, repeats=0.2, checks=0.1).ask("hello")["states"]
        == "a" * 39
    )
    assert "canary" not in page.sent and "secret" not in page.sent
    first = next(n for n, c in enumerate(rows) if c.repeat)
    before = len(store.votes())
    page.vote(first)  # taken back: the one that it repeats stays
    assert len(store.votes()) == before


def test_a_check_of_a_ranking_says_nothing_new_about_the_real_models(store):
    page = Page(answers("abc", prompts=20), store=store, checks=0.2)
    [check, *_] = [n for n, c in enumerate(page.grid._rows.comparisons) if c.check]
    page.vote(check, ranking={"a": 1, "b": 2, "c": 3})
    assert store.votes().empty and len(store.frame()) == 2
    assert Page(answers("abc", prompts=20), store=store, checks=0.2).ask("hello")["states"][check] == "r"


def test_names_are_nowhere_until_they_are_revealed_and_later_votes_say_so(store):
    page = Page(answers("abc", prompts=2), store=store, filter="task == 'math'")
    page.ask("hello"), page.ask("rows", **{"from": 0, "to": 9}), page.ask("filter", text="")
    page.rank(0, "a,b,c"), page.ask("filter", text="model == 'secret-a'")
    assert "rated or skipped" in page.ask("reveal")["error"]
    page.rank(1, "a,b,c")
    assert {"A", "B", "C"} <= set(page.grid.selected.columns) and "secret" not in repr(page.grid.selected)
    assert "secret" not in page.sent.replace("model == 'secret-a'", "")  # but for what was typed
    assert "names_known" not in store.frame()["evidence"].iloc[-1]
    page.ask("reveal")
    assert set(page.ask("row", row=0)["names"].values()) == {"secret-a", "secret-b", "secret-c"}
    assert page.ask("hello")["filterable"]["model"][0] == "secret-a"
    assert page.grid.selected["secret-a"][0].startswith("A says 0")
    page.rank(0, "c,b,a")
    assert store.frame()["evidence"].iloc[-1]["names_known"] is True
    later = Page(answers("abc", prompts=2), store=store)
    assert later.ask("row", row=0)["names"] is None
    later.rank(1, "b,a,c")
    assert store.frame()["evidence"].iloc[-1]["names_known"] is True  # once seen is seen


def test_a_filter_is_the_same_by_hand_and_in_the_bar(store):
    page = Page(answers("ab"), store=store)
    (
        page.vote(0, "a", flag=True, tags=["odd"], note="so"),
        page.vote(1, "tie"),
        page.vote(2, "skipped", reason="no"),
    )
    for text, rows in {
        "task == 'math'": [0, 2, 4],
        "unrated": [3, 4, 5],
        "flagged and 'odd' in tags": [0],
        "'b says 3' in text": [3],
        "skipped or note": [0, 2],
        "verdict == 'tie'": [1],
        "": None,
    }.items():
        assert page.ask("filter", text=text)["rows"] == rows
        page.grid.filter = text
        assert page.heard[-1]["filter"]["rows"] == rows
        assert page.grid.selected["row"].tolist() == (rows or list(range(6)) if rows is None else rows)
    wrong = page.ask("filter", text="tsak == 'math'")
    assert "task" in wrong["fault"] and wrong["text"] == "tsak == 'math'" and wrong["rows"] is None
    with pytest.raises(ConfigError, match="task"):
        page.grid.filter = "tsak == 'math'"
    assert page.grid.filter == ""


def test_disagreement_is_told_only_of_what_the_rater_has_rated(store):
    ana, bo = Page(answers("ab"), store=store), Page(answers("ab"), store=store, rater="bo")
    for row in range(3):
        winner = "ab"[bo.letters(row).index("a")]
        bo.vote(row, winner)
    ana.vote(0, "ab"[ana.letters(0).index("b")])
    ana.vote(1, "ab"[ana.letters(1).index("a")])
    assert ana.ask("filter", text="disagreement")["rows"] == [0]


def test_selected_is_typed_the_same_before_and_after_a_vote(store):
    page = Page(answers("ab"), store=store)
    empty = page.grid.selected
    page.vote(1, "b")
    page.vote(2, "skipped", reason="unclear")
    said = page.grid.selected
    assert (empty.dtypes == said.dtypes).all() and said.columns.tolist() == empty.columns.tolist()
    assert said["verdict"].tolist() == ["", "b", "skipped", "", "", ""]
    assert said["rated"].tolist() == [False, True, False, False, False, False]
    assert said["reason"].tolist()[:3] == ["", "", "unclear"] and not said["verdict"].isna().any()
    ranked = Page(answers("abc"), store=store, rater="bo")
    ranked.rank(0, "b,c,a")
    assert ranked.grid.selected.loc[0, ["verdict", "rated"]].tolist() == ["ranked", True]
