"""Runs folders and ratings databases that earlier states of sftkit wrote, read by today's (tests/fixtures/make_older.py)."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

import sftkit as sk
from sftkit.ratings.tables import SCHEMA_VERSION

OLDER = Path(__file__).parent / "fixtures/older"
COMMITS = sorted(path.name for path in OLDER.iterdir())
STATES = ("finished", "stopped", "failed")


@pytest.fixture(params=COMMITS)
def older(request, tmp_path) -> Path:
    """A copy of what that commit left, to be written to as its user's folder would be."""
    return shutil.copytree(OLDER / request.param, tmp_path / "lab")


def runs_of(older: Path) -> dict[str, sk.Run]:
    runs = [sk.load_run(path) for path in sorted((older / "runs").iterdir())]
    return {run.status.state: run for run in runs}


def test_the_fixtures_name_no_machine_and_are_small():
    assert COMMITS == ["0015539", "4e66ad7"]
    files = [path for path in OLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000
    for path in files:
        assert not re.search(rb"/(work|tmp|root|opt|home|usr)/\w", path.read_bytes()), path


def test_the_table_of_runs(older):
    table = sk.list_runs(older / "runs").set_index("state")
    assert sorted(table.index) == sorted(STATES) and table.index.is_unique
    assert table.loc["finished", "step"] == table.loc["finished", "total_steps"]
    assert table["loss"].notna().all() and (table["total_steps"] > 0).all() and (table["seconds"] >= 0).all()
    assert (
        table.loc["failed", "reason"].startswith("rank 0 was ended by SIGKILL") and table.loc["failed", "why"]
    )
    assert len(sk.RunsTable(older / "runs", lang="en").children) > 0


def test_a_run_and_what_can_be_done_with_it(older):
    runs = runs_of(older)
    for state, run in runs.items():
        metrics = run.metrics()
        trained = metrics.dropna(subset=["loss"])
        assert (
            trained["step"].tolist() == list(range(1, len(trained) + 1)) and len(trained) >= run.status.step
        )
        assert run.config.max_samples == 96 and run.config.train_batch_size == 8
        assert run.log() and "sftkit" in repr(run.record["versions"]) and run.data[0]["rows"] > 0
        assert (run.diagnosis is not None) == (state == "failed")
        assert not run.is_alive and {"duplicate", "delete"} <= run.can
    assert runs["finished"].metrics()["eval_loss"].notna().any()
    assert runs["failed"].diagnosis.cause == "killed"
    copy = runs["finished"].settings_for_copy(learning_rate=1e-4)
    assert copy.learning_rate == 1e-4 and copy.seed == runs["finished"].config.seed
    runs["stopped"].delete(confirm=runs["stopped"].id)
    assert len(sk.list_runs(older / "runs")) == 2


def texts(widget) -> str:
    """What a widget and those in it say."""
    return str(getattr(widget, "value", "")) + "".join(
        texts(child) for child in getattr(widget, "children", ())
    )


@pytest.mark.parametrize("state", STATES)
def test_what_shows_a_run(older, state):
    runs = runs_of(older)
    run = runs[state]
    monitor, curves = sk.RunMonitor(run, lang="en"), sk.LossCurves(list(runs.values()), lang="en")
    shown = texts(monitor)
    assert f"sft-is-{state}" in shown and f"{run.metrics()['loss'].dropna().iloc[-1]:.4f}"[:5] in shown
    assert ("A process was killed" in shown) == (state == "failed") and "sft-error" not in shown
    assert len(curves.picture().data) > 5_000
    assert "sft-error" not in texts(curves)
    monitor.close()
    curves.close()
    assert "max_samples=96" in sk.LaunchForm(run.config).to_code()
    card = sk.RunCard(run)
    for path in (card.to_html(older / "card.html"), card.to_markdown(older / "card.md")):
        assert run.id in Path(path).read_text(encoding="utf-8")


def test_the_ratings_are_taken_over_with_a_backup(older):
    path = older / "ratings.db"
    with sqlite3.connect(path) as database:
        before = database.execute(
            "SELECT id, rater, prompt_id, verdict, note FROM ratings ORDER BY id"
        ).fetchall()
        assert (
            database.execute("SELECT max(version) FROM sftkit_schema").fetchone() == (1,) and len(before) > 30
        )
    store = sk.RatingStore(path)
    frame = store.frame()
    assert [
        tuple(row) for row in frame[["id", "rater", "prompt_id", "verdict", "note"]].itertuples(index=False)
    ] == before
    (backup,) = older.glob("ratings.db.backup-v1-*")
    with sqlite3.connect(backup) as database:
        assert database.execute("SELECT count(*) FROM ratings").fetchone() == (len(before),)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT max(version) FROM sftkit_schema").fetchone() == (SCHEMA_VERSION,)
    votes = store.votes().sort_values(["rater", "prompt_id"], ignore_index=True)
    then = pd.read_csv(older / "votes.csv", dtype={"flip": "boolean"})  # as the code of then counted them
    pd.testing.assert_frame_equal(votes[then.columns], then, check_dtype=False)
    assert then["flip"].sum() > 0 and len(then) >= 28
    report = sk.Report(store)
    assert "tuned" in report.win_rates.to_string() and len(report.agreement)
    assert (
        "因为" in frame["note"].tolist()
        and Path(report.to_html(older / "report.html")).stat().st_size > 10_000
    )
    store.close()


def test_rating_goes_on_where_it_was_left(older):
    """The same answers in today's grid: what was rated is rated, and one more vote goes into the same database."""
    answers = sk.Generations.load(older / "answers.parquet")
    store = sk.RatingStore(older / "ratings.db")
    grid = sk.ComparisonGrid(answers, store=store, rater="ana", lang="en")
    assert grid.progress == (10, 10)
    ben = sk.ComparisonGrid(answers, store=store, rater="ben", lang="en")
    assert ben.progress == (9, 10)
    count = len(store.frame())
    store.add(sk.Rating("human:ben", "p2", "base", "tuned", "both_bad", tags=["tone"], flag=True))
    assert len(store.frame()) == count + 1 and len(store.votes().query("rater == 'human:ben'")) == 10
    store.close()
