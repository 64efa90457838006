"""Projects: overlap, leases, progress; the same on SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import sqlalchemy as sa

from sftkit.errors import ConfigError, StoreError
from sftkit.generation import Generations
from sftkit.ratings import Dimension, Rating, RatingStore
from sftkit.report import Report


def vote(rater="human:ana", n=0, verdict="a", **more):
    return Rating(rater, f"p{n}", "base", "tuned", verdict, project="pilot", **more)


@pytest.fixture
def project(store, answers):
    return store.project("pilot", answers, overlap=2)


@pytest.fixture
def ids(project):
    return project.counts()["comparison"].tolist()


def late(project):
    """The lease time of the project as if it had passed."""
    with project.store.writing() as connection:
        connection.exec_driver_sql("UPDATE assignments SET expires = 1")


def test_a_project_is_made_once_and_opened_by_name(store, answers):
    rubric = [Dimension("style", "Style", {1: "bad", 3: "fair", 5: "good"}, "x")]
    made = store.project("pilot", answers, overlap=2, seed=7, strategy="value", repeats=0.1, checks=0.05, dimensions=rubric, lease_minutes=5)  # fmt: skip
    for again in (store.project("pilot"), store.project("pilot", answers, overlap=2)):
        assert [vars(again)[k] for k in vars(made) if k != "store"] == [
            vars(made)[k] for k in vars(made) if k != "store"
        ]
    assert (again.models, again.across, again.dimensions) == (["base", "tuned"], 2, rubric)
    assert again.answers().frame.equals(made.answers().frame) and len(again.answers()) == 12
    assert store.projects().to_dict("records") == [
        {"project": "pilot", "comparisons": 6, "overlap": 2, "raters": 0, "votes": 0, "done": 0}
    ]


def test_a_report_of_one_project_leaves_the_others_out(store, answers, project):
    store.add(vote("human:ana", 0, "b"))
    store.add(Rating("human:ben", "p1", "base", "tuned", "a", project="trial"))
    assert project.frame()["rater"].tolist() == ["human:ana"] == project.votes()["rater"].tolist()
    rates = Report(project).win_rates
    assert rates[["rater", "model", "win_rate", "n"]].values.tolist() == [["human:ana", "tuned", 1.0, 1]]
    assert set(Report(store).win_rates["rater"]) == {"human:ana", "human:ben", "human:*"}


def test_what_differs_from_the_stored_project_is_named(store, answers, project):
    with pytest.raises(StoreError, match=r"overlap is 2, not 3; seed is 0, not 4"):
        store.project("pilot", overlap=3, seed=4)
    fewer = Generations.from_frame(answers.frame[answers.frame["prompt_id"] != "p0"])
    with pytest.raises(StoreError, match="holds 6 comparisons, these answers make 5, of which 5"):
        store.project("pilot", fewer)
    with pytest.raises(StoreError, match=r"no project 'nix'.*known: 'pilot'"):
        store.project("nix")


def test_every_bad_setting_is_named_at_once(store, answers):
    bad = {
        "overlap": 0,
        "across": 7,
        "repeats": 2,
        "checks": "x",
        "strategy": "best",
        "lease_minutes": -1,
        "seed": 1.5,
    }
    with pytest.raises(ConfigError) as caught:
        store.project("pilot", answers, dimensions=["style"], **bad)
    assert {fault.field for fault in caught.value.faults} == {*bad, "dimensions"}
    with pytest.raises(ConfigError, match="no answers here"):
        store.project("pilot", answers, models=["base", "gpt"])
    assert store.projects().empty


def test_comparisons_of_many_models_side_by_side(store):
    rows = [
        {"prompt_id": f"p{n}", "prompt": "Q", "model": m, "response": f"{m}{n}"}
        for n in range(3)
        for m in "abc"
    ]
    wide = store.project("wide", Generations.from_frame(pd.DataFrame(rows, dtype=object)))
    pairs = store.project("pairs", across=2, answers=store.answers())
    assert (wide.across, len(wide.counts()), len(pairs.counts())) == (3, 3, 6)
    ranking = {"ranking": {"models": ["b", "a", "c"], "ranks": [1, 2, 2]}}
    said = [("b", "a", "a"), ("b", "c", "a"), ("a", "c", "tie")]
    store.add_many([Rating("human:ana", "p0", x, y, v, project="wide", evidence=ranking) for x, y, v in said])
    assert wide.counts()["votes"].tolist() == [1, 0, 0] and wide.progress()["votes"].tolist() == [1]
    assert len(store.votes()) == 3 and pairs.counts()["votes"].sum() == 0


def test_a_comparison_goes_to_as_many_raters_as_the_overlap_says(project, ids):
    taken = [project.take(f"human:{n}", ids) for n in range(5)]
    assert taken == [ids[0], ids[0], ids[1], ids[1], ids[2]]
    assert project.take("human:0", ids) == ids[0]  # he holds it already
    assert project.open_to("human:9") == set(ids[2:]) and project.open_to("human:0") == set(ids[:1] + ids[2:])
    assert project.counts()["leased"].tolist() == [2, 2, 1, 0, 0, 0]
    assert project.take("human:9", ids[:2]) is None and project.take("human:9", []) is None


def test_a_vote_ends_the_lease_and_counts(project, ids):
    project.take("human:ana", ids)
    project.store.add(vote(seconds=4.0))
    assert project.take("human:ana", ids) == ids[1]
    project.store.add(vote(n=1, seconds=8.0))
    row = project.progress().iloc[0]
    assert (row["rater"], row["votes"], row["leased"], row["seconds_median"]) == ("human:ana", 2, 0, 6.0)
    assert abs((row["last"] - pd.Timestamp.now("UTC")).total_seconds()) < 60
    project.store.add_many([vote("human:bo"), vote("human:bo", n=2)])
    assert project.counts()["votes"].tolist() == [2, 1, 1, 0, 0, 0]
    assert project.store.projects()[["raters", "votes", "done"]].values.tolist() == [[2, 4, 1]]
    assert ids[0] not in project.open_to("human:cy")


def test_leases_expire_by_the_database_s_clock_and_are_renewed(project, ids):
    one = ids[:1]
    assert project.take("human:a", one) and project.take("human:b", one)
    assert project.take("human:c", one) is None
    late(project)
    assert project.progress()["leased"].tolist() == [0, 0]
    assert project.take("human:a", one) == ids[0]  # renewed
    assert project.take("human:c", one) == ids[0] and project.take("human:d", one) is None
    project.store.add(vote("human:b"))  # too late, and stored all the same
    assert len(project.store.votes()) == 1 and project.counts()["votes"][0] == 1


def test_a_short_lease_runs_out_by_itself(store, answers):
    project = store.project("pilot", answers, lease_minutes=0.01)
    first = project.counts()["comparison"].tolist()[:1]
    assert project.take("human:a", first) and project.take("human:b", first) is None
    time.sleep(0.7)
    assert project.take("human:b", first) == first[0]


def test_skips_undos_and_scores_without_a_verdict(project, ids):
    add = project.store.add
    add(vote("human:a", verdict="open", scores={"safety": 3}))  # holds it
    assert project.counts().iloc[0][["votes", "leased"]].tolist() == [0, 1]
    add(vote("human:a"))
    add(vote("human:a", verdict="retracted"))
    assert project.counts().iloc[0][["votes", "leased"]].tolist() == [0, 1] and ids[0] in project.open_to(
        "human:a"
    )
    add(vote("human:a", verdict="skipped", reason="not my field"))  # gives it back
    assert project.counts().iloc[0][["votes", "leased"]].tolist() == [0, 0]
    add(vote("human:a", verdict="both_bad"))
    assert project.counts()["votes"][0] == 1 and project.store.votes()["outcome"].tolist() == [0.5]


def test_release_gives_back_what_is_held_and_keeps_what_is_rated(project, ids):
    project.store.add(vote())
    project.take("human:ana", ids[1:2])
    project.take("human:bo", ids[1:2])
    project.release("human:ana")
    assert project.counts().loc[:1, ["votes", "leased"]].values.tolist() == [[1, 0], [0, 1]]


def test_paging_through_the_list_locks_nobody_out(project, ids):
    for one in ids:
        assert project.take("human:ana", [one]) == one
    assert project.counts()["leased"].tolist() == [0, 1, 1, 1, 1, 1]  # the oldest went back


def test_repeats_and_checks_need_no_lease_and_count_for_nobody(project, ids):
    assert project.take("human:ana", ["a-repeat", *ids]) == "a-repeat"
    project.store.add_many([vote(evidence={"repeat": True}), vote(n=1, evidence={"check": True})])
    assert project.progress().empty


def test_an_undo_of_a_repeat_leaves_the_first_vote(project):
    again = {"evidence": {"repeat": True}, "shown_first": "b"}
    project.store.add_many(
        [vote(shown_first="a"), vote(verdict="b", **again), vote(verdict="retracted", **again)]
    )
    assert project.store.votes()["outcome"].tolist() == [1.0] and project.counts()["votes"][0] == 1
    project.store.add(vote(verdict="b", **again))
    assert project.store.votes()[["outcome", "flip"]].values.tolist() == [[0.5, True]]


def test_ratings_that_came_before_their_project_count(store, answers):
    store.add_many([vote(), vote(), vote("human:bo", n=1)])
    assert store.project("pilot", answers).counts()["votes"].tolist() == [1, 1, 0, 0, 0, 0]
    assert len(store.frame(project="pilot")) == 3 and store.frame(project="other").empty


def test_history_shows_a_changed_mind(project):
    project.store.add_many([vote(), vote("human:bo"), vote(verdict="b"), vote(n=1)])
    history = project.store.history("p0", "tuned", "base")
    assert history["verdict"].tolist() == ["a", "a", "b"] and history["current"].tolist() == [
        False,
        True,
        True,
    ]
    assert project.store.history("p0", "base", "tuned", rater="human:ana")["verdict"].tolist() == ["a", "b"]


def test_threads_that_take_at_once_never_pass_the_overlap(project, ids):
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda n: project.take(f"human:{n}", ids), range(16)))
    given = pd.Series([one for one in taken if one]).value_counts()
    assert given.max() == 2 and given.sum() == 12 and taken.count(None) == 4


OTHER = """
import sys
from sftkit.ratings import Rating, RatingStore
project = RatingStore(sys.argv[1]).project("pilot")
print(project.take("human:bo", project.counts()["comparison"].tolist()), flush=True)
sys.stdin.readline()
project.store.add(Rating("human:bo", "p0", "base", "tuned", "b", project="pilot", seconds=1.0))
print(project.counts()["votes"].sum(), flush=True)
sys.stdin.readline()
"""


def test_two_processes_see_each_other_s_progress(project, ids, url):
    other = subprocess.Popen([sys.executable, "-c", OTHER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    with other:
        assert other.stdout.readline().strip() == ids[0]
        assert project.progress()[["rater", "votes", "leased"]].values.tolist() == [["human:bo", 0, 1]]
        project.store.add(vote("human:ana", n=3))
        print(file=other.stdin, flush=True)
        assert other.stdout.readline().strip() == "2"  # ana's, cast here, and his own
        assert project.progress()["votes"].tolist() == [1, 1]
        print(file=other.stdin, flush=True)


def test_two_processes_make_the_same_project_at_once(url, answers, tmp_path):
    answers.save(tmp_path / "answers.parquet")
    code = (
        "import sys; from sftkit.ratings import RatingStore; from sftkit.generation import Generations; "
        "print(len(RatingStore(sys.argv[1]).project('pilot', Generations.load(sys.argv[2])).counts()))"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, tmp_path / "answers.parquet"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [maker.communicate(timeout=60)[0].strip() for maker in makers] == ["6"] * 2
    assert RatingStore(url).projects()["comparisons"].tolist() == [6]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_statement_of_a_vote_looks_through_a_whole_project(project, ids):
    """Or 32 raters with 1,000 votes each would slow down as they go: every search is by project and something else."""
    engine, plans = project.store._engine, []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _(connection, cursor, statement, values, context, many):
        raw = connection.connection.dbapi_connection
        plans.extend((statement, row[3]) for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    project.take("human:ana", ids)
    project.store.add(vote(key="k"))
    looked = [
        (plan, statement) for statement, plan in plans if "projects" not in plan and "SUBQUERY" not in plan
    ]
    assert len(looked) > 6
    for plan, statement in looked:
        assert plan.startswith(("SEARCH", "USE TEMP B-TREE")) and "(project=?)" not in plan, (plan, statement)
