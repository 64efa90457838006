"""A rating database, and votes, that an enemy has made: nothing in them runs, in SQL, in a page or in a spreadsheet."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from sftkit.errors import StoreError
from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore
from sftkit.ratings.exchange_files import COLUMNS
from sftkit.report import Report
from sftkit.report.export import FORMULA, tex
from tests.security.test_run_folder import EVIL, Tags

SQL = "'; DROP TABLE ratings; --"
CELLS = [
    "x\r=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://evil")',
]


def filled(place: Path, names: tuple[str, str] = ("base", "tuned"), text: str = "an answer", note: str = "") -> RatingStore:  # fmt: skip
    store = RatingStore(f"sqlite:///{place}")
    rows = [
        {
            "prompt_id": f"{text}{n}",
            "prompt": text,
            "model": name,
            "response": text,
            "task": text,
            "reference": text,
        }
        for n in range(3)
        for name in names
    ]
    store.register(Generations.from_frame(pd.DataFrame(rows)))
    raters = ["human:ana", f"human:{note or 'ben'}"]
    store.add_many(
        Rating(rater, f"{text}{n}", *names, "ab"[n % 2], scores={"helpfulness": {"a": 3, "b": 4}}, note=note)
        for n in range(3)
        for rater in raters
    )
    return store


@pytest.mark.parametrize(
    "program",
    [
        "CREATE TRIGGER t AFTER INSERT ON ratings BEGIN DELETE FROM ratings; END",
        "CREATE TRIGGER t AFTER INSERT ON ratings BEGIN UPDATE ratings SET verdict = 'a'; END",
        "ALTER TABLE ratings RENAME TO r; CREATE VIEW ratings AS SELECT * FROM r",
        "ALTER TABLE sftkit_schema RENAME TO s; CREATE VIEW sftkit_schema AS SELECT * FROM s",
        "CREATE VIEW other AS SELECT 1; CREATE TRIGGER t INSTEAD OF INSERT ON other BEGIN DELETE FROM ratings; END",
    ],
)
def test_a_database_with_a_program_in_it_is_refused(tmp_path, program):
    filled(tmp_path / "ratings.db")._engine.dispose()
    with sqlite3.connect(tmp_path / "ratings.db") as connection:
        connection.executescript(program)
    with pytest.raises(StoreError, match=r"none of sftkit's|tables of another program"):
        RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


def test_a_view_of_ones_own_is_no_harm(tmp_path):
    filled(tmp_path / "ratings.db")._engine.dispose()
    with sqlite3.connect(tmp_path / "ratings.db") as connection:
        connection.execute("CREATE VIEW my_view AS SELECT rater, count(*) FROM ratings GROUP BY rater")
    assert len(RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}").frame()) == 6


def test_a_schema_may_call_no_function_that_reaches_out(tmp_path):
    store = filled(tmp_path / "ratings.db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA trusted_schema").scalar() == 0
        with pytest.raises(Exception, match=r"not authorized|no such function"):
            connection.exec_driver_sql("SELECT load_extension('/tmp/evil.so')")


@pytest.mark.parametrize("value", ["{", "[" * 200_000, "1, 2", "5, {"])
def test_what_is_no_json_is_an_error_of_the_store(tmp_path, value):
    filled(tmp_path / "ratings.db")._engine.dispose()
    with sqlite3.connect(tmp_path / "ratings.db") as connection:
        connection.execute("UPDATE ratings SET scores = ? WHERE id = 1", [value])
    with pytest.raises(StoreError, match="no JSON"):
        RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}").frame()


def test_names_are_values_and_never_sql(tmp_path):
    store = filled(tmp_path / "ratings.db", (SQL, SQL + "b"), SQL, SQL)
    assert len(store.frame()) == 6
    assert len(store.frame(f"human:{SQL}")) == 3
    assert len(store.frame(prompt_id=f"{SQL}0")) == 2
    assert len(store.history(f"{SQL}0", SQL, SQL + "b")) == 2
    assert len(store.votes()) == 6


def test_a_report_shows_texts_as_text(tmp_path):
    report = Report(filled(tmp_path / "ratings.db", (EVIL, EVIL + "b"), EVIL, EVIL))
    page = report.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    shown = page + report._repr_html_()
    assert "&lt;img" in shown
    assert not Tags(shown).dangerous
    assert "<script" not in shown


@pytest.mark.parametrize("cell", CELLS)
def test_no_cell_of_a_table_is_a_formula(tmp_path, cell):
    """The ratings as CSV, which come back as they were, and the report's tables."""
    store = filled(tmp_path / "ratings.db", (cell, cell + "b"), cell, cell)
    store.export(tmp_path / "ratings.csv")
    tables = [tmp_path / "ratings.csv", *Report(store).to_csv(tmp_path / "tables")]
    for path in tables:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file):
                started = [one for one in row if one.startswith(FORMULA) and not _is_number(one)]
                assert not started, (path.name, started)
    again = RatingStore("sqlite://")
    again.load(tmp_path / "ratings.csv")
    assert set(again.frame()["note"]) == {cell} and set(COLUMNS) <= set(again.frame().columns)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_nothing_in_a_paper_s_table_is_a_command():
    assert tex(r"\input{/etc/passwd}\write18{rm}") == r"\textbackslash{}input\{/etc/passwd\}\textbackslash{}write18\{rm\}"  # fmt: skip
    assert tex("$x$ % & #1 _ ^ ~\n\\end{table}").count("\n") == 0
