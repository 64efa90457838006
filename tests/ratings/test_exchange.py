"""Ratings out to files and in again: nothing lost, nothing half imported, every fault by row and field."""

from __future__ import annotations

import csv
import json

import pandas as pd
import pytest

from sftkit.errors import RatingsFileError, StoreError
from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore, label_studio
from sftkit.ratings.exchange import TOOLS, _checked

ODD = ["", "=1+1", "'quoted", '"json"', "a,b\r\nc\rd\ne", "评审 😀", "-5", "\ttab", "null", "nan", " x "]


@pytest.fixture
def url(request, tmp_path) -> str:
    """SQLite, unless a test asks for both: what a file says does not depend on the database."""
    kind = getattr(request, "param", "sqlite")
    return (
        f"sqlite:///{tmp_path / 'ratings.db'}"
        if kind == "sqlite"
        else request.getfixturevalue("new_postgresql")
    )


both = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


def vote(verdict="a", rater="human:ana", prompt_id="p1", a="base", b="tuned", **more):
    return Rating(rater, prompt_id, a, b, verdict, **more)


@pytest.fixture
def full(store, answers):
    """Every field in use, a changed mind, an undo, hostile text in every text field."""
    store.register(answers)
    store.add_many(
        [
            vote("a", scores={"safety": {"a": 1, "b": 5}, "style": 3.5}, shown_first="b", seconds=2.5, tags=["x", "y,z"]),
            vote("b", flag=True, probability=0.25, project="pilot", note="因为", key="k1"),
            vote("retracted"),
            vote("both_bad", prompt_id="p2", evidence={"sides": "sha256", "seed": 1, "ranking": {"models": ["b", "t"]}}),
            vote("skipped", prompt_id="p3", reason="=cmd()"),
            vote("tie", "judge:m/pairwise-v1", "p4", shown_first="a", raw_reply="{...}", tokens_in=7, tokens_out=9, price=0.1, request_hash="h"),
            vote("b", "judge:m/pairwise-v1", "p4", shown_first="b"),
            *[vote("a", rater=f"r{text}", prompt_id=f"q{text}", note=text, tags=[text] if text.strip() else [],
                   raw_reply=text, request_hash=text, key=f"{text}!" if text else "") for text in ODD],
        ]
    )  # fmt: skip
    return store


def same(left: RatingStore, right: RatingStore) -> None:
    pd.testing.assert_frame_equal(left.frame().drop(columns="id"), right.frame().drop(columns="id"))


@both
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_round_trip_loses_nothing(full, suffix, tmp_path):
    path = full.export(tmp_path / f"ratings.{suffix}")
    assert path.name == f"ratings.{suffix}" and [p.name for p in tmp_path.glob("*.part")] == []
    empty = RatingStore("sqlite://")
    assert empty.load(path) == len(full.frame())
    same(full, empty)
    assert empty.load(path) == 0  # the same file again adds nothing
    same(full, empty)


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("jsonl", lambda path: pd.read_json(path, lines=True)), ("parquet", pd.read_parquet)])  # fmt: skip
def test_a_file_says_which_rows_count(full, suffix, read, tmp_path):
    table = read(full.export(tmp_path / f"ratings.{suffix}"))
    assert table["current"].tolist() == full.frame()["current"].tolist()
    assert table["current"].any() and not table["current"].all()


def test_a_csv_opens_in_a_spreadsheet_without_running_anything(full, tmp_path):
    with open(full.export(tmp_path / "r.csv"), encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'=cmd()" in cells


def test_a_frame_that_was_saved_by_hand_can_be_loaded(store, tmp_path):
    """frame() has id and current, which follow from the rest; pandas writes its own kinds of CSV and JSONL."""
    store.add_many([vote("a", seconds=2.0), vote("b", prompt_id="p2", tokens_in=3)])
    store.frame().drop(columns=["scores", "evidence", "tags"]).to_csv(tmp_path / "f.csv", index=False)
    store.frame().to_json(
        tmp_path / "f.jsonl", orient="records", lines=True, date_format="iso", date_unit="ns"
    )
    for name in ("f.csv", "f.jsonl"):
        other = RatingStore("sqlite://")
        assert other.load(tmp_path / name) == 2
        less = ["id", "created"] if name == "f.jsonl" else ["id"]  # pandas' to_json cuts nanoseconds off
        pd.testing.assert_frame_equal(store.frame().drop(columns=less), other.frame().drop(columns=less))


def test_every_fault_is_named_by_row_and_field_and_nothing_is_stored(store, tmp_path):
    (tmp_path / "bad.csv").write_text(
        "rater,prompt_id,model_a,model_b,verdict,seconds,scores,created\n"
        "human:ana,p1,base,tuned,a,2,,2026-01-01T10:00:00Z\n"
        "human:ana,p1,base,tuned,A,two,{],yesterday\n"
        ",p1,base,base,skipped,,,\n"
        "human:ana,p1\n"
    )
    with pytest.raises(RatingsFileError) as caught:
        store.load(tmp_path / "bad.csv")
    fields = {fault.field for fault in caught.value.faults}
    assert fields >= {"row 3, seconds", "row 3, scores", "row 3, created"}
    assert fields >= {"row 4, rater", "row 4, model_b", "row 4, reason"} and any("row 5" in f for f in fields)
    assert "bad.csv was not imported" in str(caught.value) and store.frame().empty
    (tmp_path / "bad.csv").write_text('rater,prompt_id,model_a,model_b,verdict\nx,p,"a"b,c,d\n')
    with pytest.raises(RatingsFileError, match=r"row 2: is no CSV"):
        store.load(tmp_path / "bad.csv")


def test_unknown_and_missing_columns_are_named(store, tmp_path):
    (tmp_path / "r.csv").write_text("rater,prompt_id,model_a,model_b,verdct,note,note\n")
    with pytest.raises(
        RatingsFileError, match=r"verdct: is no field of a rating\. Did you mean verdict"
    ) as caught:
        store.load(tmp_path / "r.csv")
    assert {f.field for f in caught.value.faults} == {"row 1, verdct", "row 1, verdict", "row 1, note"}
    (tmp_path / "r.jsonl").write_text('{"rater": "x", "prompt_id": "p"}\n[1]\n{oops\n')
    with pytest.raises(RatingsFileError) as caught:
        store.load(tmp_path / "r.jsonl")
    assert {f.field for f in caught.value.faults} >= {
        "row 1, model_a",
        "row 1, verdict",
        "row 2",
        "row 3",
    }


def test_bool_and_numbers_of_json_are_checked_like_any_rating(store, tmp_path):
    row = {"rater": "x", "prompt_id": "p", "model_a": "a", "model_b": "b", "verdict": "a", "flag": "maybe", "probability": 2}  # fmt: skip
    (tmp_path / "r.jsonl").write_text(json.dumps(row))
    with pytest.raises(RatingsFileError) as caught:
        store.load(tmp_path / "r.jsonl")
    assert {f.field for f in caught.value.faults} == {"row 1, flag", "row 1, probability"}


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [("r.json", None, "Give format="), ("r.csv", "excel", "no format"), ("none.csv", None, "no file"),
     ("binary.parquet", None, "cannot be read as parquet"), ("binary.json", "argilla", "cannot be read as argilla"),
     ("binary.json", "label-studio", "cannot be read"), ("binary.csv", None, "cannot be read as csv")],
)  # fmt: skip
def test_what_cannot_be_read_says_why(store, tmp_path, name, kind, says):
    for binary in ("binary.parquet", "binary.json", "binary.csv"):
        (tmp_path / binary).write_bytes(b"\x00\xff\xfe" * 50)
    with pytest.raises(StoreError, match=says):
        store.load(tmp_path / name, format=kind)
    with pytest.raises(StoreError, match="no folder"):
        store.export(tmp_path / "none" / "r.csv")


@both
def test_a_file_becomes_part_of_a_project(store, answers, tmp_path):
    project = store.project("pilot", answers)
    other = RatingStore("sqlite://")
    other.add_many([vote("a", prompt_id=f"p{n}") for n in range(3)])
    assert store.load(other.export(tmp_path / "r.jsonl"), project="pilot") == 3
    assert project.counts()["votes"].tolist() == [1, 1, 1, 0, 0, 0]


def test_one_project_is_exported_alone_and_another_name_is_told(store, answers, tmp_path):
    few = answers.frame[answers.frame["prompt_id"].isin(["p1", "p2"])]
    store.project("pilot", Generations.from_frame(few.reset_index(drop=True)))
    store.project("empty", answers)
    votes = [vote(project="pilot"), vote("b", rater="human:bo"), vote("tie", prompt_id="p2", project="pilot")]
    store.add_many(votes)
    path = store.export(tmp_path / "pilot.csv", project="pilot")
    assert pd.read_csv(path)["verdict"].tolist() == ["a", "tie"]
    text = store.export(tmp_path / "p.json", "argilla", project="pilot").read_text("utf-8")
    assert len(json.loads(text)) == 2 and "human:ana" in text and "human:bo" not in text
    assert pd.read_csv(store.export(tmp_path / "none.csv", project="empty")).empty
    with pytest.raises(StoreError, match=r"no project 'plot'.*'pilot'"):
        store.export(tmp_path / "x.csv", project="plot")
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("tool", ["argilla", "label-studio"])
def test_a_tool_s_file_comes_back_with_what_stands(full, tool, tmp_path):
    path = full.export(tmp_path / "r.json", format=tool)
    other = RatingStore("sqlite://")
    other.load(path, format=tool)
    assert other.load(path, format=tool) == 0
    keys = ["rater", "prompt_id"]
    before, after = (
        s.votes()
        .sort_values(keys)
        .reset_index(drop=True)[[*keys, "model_a", "model_b", "outcome", "flip", "len_a"]]
        for s in (full, other)
    )
    known = before[
        "len_a"
    ].notna()  # answers that were never registered cannot be written: empty ones stand there
    pd.testing.assert_frame_equal(before[known], after[known])
    pd.testing.assert_frame_equal(before.drop(columns="len_a"), after.drop(columns="len_a"))
    left, right = (s.frame().query("current and verdict == 'skipped'").iloc[0] for s in (full, other))
    assert (left["reason"], left["rater"]) == (right["reason"], right["rater"])
    texts = full.answers().frame[["prompt_id", "model", "response"]].sort_values(["prompt_id", "model"])
    mine = other.answers().frame
    mine = mine[mine["prompt_id"].isin(texts["prompt_id"])][["prompt_id", "model", "response"]]
    pd.testing.assert_frame_equal(
        *(t.sort_values(["prompt_id", "model"]).reset_index(drop=True) for t in (texts, mine))
    )


@pytest.mark.parametrize("tool", ["argilla", "label-studio"])
def test_a_tool_that_gives_back_what_nobody_changed_adds_nothing(full, tool, tmp_path):
    before = full.frame()
    assert full.load(full.export(tmp_path / "r.json", format=tool), format=tool) == 0
    pd.testing.assert_frame_equal(before, full.frame())
    assert (
        len(full.answers()) == 12
    )  # and no empty answers for those that were rated without being registered


def test_scores_notes_and_tags_survive_the_tools(store, answers, tmp_path):
    store.register(answers)
    scores = {"safety": {"a": 1, "b": 5}, "honesty": {"b": 4}, "style": 3}
    store.add(vote("b", scores=scores, note="two\nlines", tags=["x", "y"], seconds=3.0, shown_first="b"))
    for tool in ("argilla", "label-studio"):
        other = RatingStore("sqlite://")
        other.load(store.export(tmp_path / "r.json", format=tool), format=tool)
        row = other.frame().iloc[0]
        assert (row["model_a"], row["model_b"], row["verdict"], row["shown_first"]) == (
            "tuned",
            "base",
            "a",
            "a",
        )
        assert row["scores"] == {"safety": {"a": 5, "b": 1}, "honesty": {"a": 4}, "style": 3}
        assert (row["note"], row["tags"], row["rater"]) == ("two\nlines", ["x", "y"], "human:ana")
        assert row["seconds"] == 3.0 or tool == "argilla"  # Argilla keeps no time


def test_no_model_always_stands_left_where_the_order_is_unknown(store, tmp_path):
    store.add_many([vote("tie", prompt_id=f"p{n}") for n in range(40)])
    records = json.loads(store.export(tmp_path / "r.json", format="argilla").read_text())
    left = [record["metadata"]["model_a"] for record in records]
    assert 8 < left.count("base") < 32


def test_argilla_s_records_keep_to_argilla_s_types(store, answers, tmp_path):
    """Record.from_dict: fields and metadata are dicts, responses {question: [{value, user_id}]} with UUIDs as users,
    suggestions {question: {value, score, agent}}."""
    import uuid

    store.register(answers)
    store.add_many(
        [vote("a", scores={"safety": {"a": 2}}), vote("b", "judge:m/p"), vote("tie", rater="human:bo")]
    )
    records = json.loads(store.export(tmp_path / "r.json", format="argilla").read_text())
    assert len(records) == 6  # the comparisons that nobody rated yet are there to be rated
    rated = next(record for record in records if record["responses"])
    assert set(rated) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    assert all(isinstance(text, str) for text in rated["fields"].values())
    for given in rated["responses"].values():
        for one in given:
            assert set(one) == {"value", "user_id"} and uuid.UUID(one["user_id"])
    assert rated["suggestions"]["verdict"]["agent"] == "judge:m/p"
    assert {one["value"] for one in rated["responses"]["verdict"]} <= {"a", "b", "tie"}


ARGILLA = [
    {
        "id": "r1",
        "fields": {"instruction": "Name a colour.", "response1": "Red.", "response2": "A colour is red."},
        "metadata": {"model_a": "base", "model_b": "tuned"},
        "suggestions": {"preference": {"value": ["response1", "response2"], "score": 0.9, "agent": "gpt-4"}},
        "responses": {
            "preference": [
                {"value": ["response2", "response1"], "user_id": "3f2a0d5c-0000-4000-8000-000000000001"},
                {"value": [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 1}], "user_id": "3f2a0d5c-0000-4000-8000-000000000002"},
            ],
            "clarity": [{"value": 4, "user_id": "3f2a0d5c-0000-4000-8000-000000000001"}],
            "comment": [{"value": "shorter", "user_id": "3f2a0d5c-0000-4000-8000-000000000001"}],
            "topics": [{"value": ["colour"], "user_id": "3f2a0d5c-0000-4000-8000-000000000001"}],
        },
        "vectors": {},
        "_server_id": "7d0c8f0e-0000-4000-8000-000000000001",
    }
]  # fmt: skip


def by_column(records):
    return {name: [record[name] for record in records] for name in records[0]}


@pytest.mark.parametrize(
    "shape", [list, by_column, lambda records: {record["id"]: record for record in records}]
)
def test_what_argilla_exports_is_understood_in_every_shape(store, tmp_path, shape):
    (tmp_path / "a.json").write_text(json.dumps(shape(ARGILLA)))
    assert store.load(tmp_path / "a.json", format="argilla") == 3
    first, second, judge = store.frame().to_dict("records")
    assert (first["verdict"], second["verdict"], judge["verdict"]) == ("b", "tie", "a")
    assert (
        first["scores"] == {"clarity": 4}
        and first["note"] == "comment: shorter"
        and first["tags"] == ["colour"]
    )
    assert (judge["rater"], first["rater"]) == ("judge:gpt-4", "human:3f2a0d5c-0000-4000-8000-000000000001")
    assert store.answers().models == ["base", "tuned"] and store.votes()["len_a"].tolist() == [4.0] * 3


def test_argilla_flattened_with_the_status_of_each_user(store, tmp_path):
    record = {
        "id": "r1", "prompt": "Q", "response_a": "x", "response_b": "y", "label.responses": ["response_b", "response_a", "response_a"],
        "label.responses.users": ["u1", "u2", "u3"], "label.responses.status": ["submitted", "discarded", "draft"],
        "label.suggestion": "tie", "label.suggestion.agent": None, "label.suggestion.score": None,
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps([record]))
    assert store.load(tmp_path / "a.json", format="argilla") == 4
    verdicts = store.frame().set_index("rater")["verdict"].to_dict()
    assert verdicts == {"human:u1": "b", "human:u2": "skipped", "human:u3": "open", "judge:argilla": "tie"}
    assert store.answers().models == ["response_a", "response_b"]  # nobody said whose they are


LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"prompt": "Name a colour.", "text1": "Red.", "text2": "Blue.", "prompt_id": "p9"},
        "annotations": [
            {
                "id": 1001, "completed_by": 10, "was_cancelled": False, "ground_truth": False, "lead_time": 4.288,
                "created_at": "2021-03-09T22:16:08.728353Z", "updated_at": "2021-03-09T22:17:08.728378Z", "result_count": 2, "task": 1,
                "result": [
                    {"id": "x", "from_name": "pw", "to_name": "text1,text2", "type": "pairwise", "value": {"selected": "right"}},
                    {"id": "y", "from_name": "clarity", "to_name": "text1", "type": "rating", "value": {"rating": 4}},
                    {"id": "z", "from_name": "why", "to_name": "text1", "type": "textarea", "value": {"text": ["bluer"]}},
                    {"id": "t", "from_name": "tone", "to_name": "text1", "type": "choices", "value": {"choices": ["warm"]}},
                    {"id": "n", "from_name": "n", "to_name": "text1", "type": "number", "value": {"number": 7}},
                ],
            },
            {"id": 1002, "completed_by": {"id": 3, "email": "bo@example.org"}, "was_cancelled": True, "lead_time": 1.0,
             "created_at": "2021-03-09T22:16:08Z", "result": []},
            {"id": 1003, "completed_by": 11, "lead_time": 2.0, "result": [
                {"from_name": "same", "to_name": "text1", "type": "choices", "value": {"choices": ["Tie"]}}]},
        ],
        "predictions": [{"model_version": "gpt-4", "result": [
            {"from_name": "pw", "to_name": "text1,text2", "type": "pairwise", "value": {"selected": "left"}}]}],
    }
]  # fmt: skip


def test_what_label_studio_exports_is_understood(store, tmp_path):
    (tmp_path / "l.json").write_text(json.dumps(LABEL_STUDIO))
    assert store.load(tmp_path / "l.json", format="label-studio", project="pilot") == 4
    rows = store.frame().set_index("rater")
    assert rows["verdict"].to_dict() == {"human:10": "b", "human:bo@example.org": "skipped", "human:11": "tie", "judge:gpt-4": "a"}  # fmt: skip
    ten = rows.loc["human:10"]
    assert (ten["scores"], ten["note"], ten["tags"], ten["seconds"]) == (
        {"clarity": {"a": 4}},
        "bluer",
        ["warm"],
        4.288,
    )
    assert ten["evidence"] == {
        "label_studio": [{"from_name": "n", "value": {"number": 7}}]
    }  # nothing is dropped
    assert ten["created"].round("us") == pd.Timestamp("2021-03-09T22:17:08.728378Z")
    assert set(rows["project"]) == {"pilot"} and store.answers().response("p9", "text2") == "Blue."
    changed = json.loads(json.dumps(LABEL_STUDIO))
    changed[0]["annotations"][0]["result"][0]["value"]["selected"] = "left"
    (tmp_path / "l.json").write_text(json.dumps(changed))
    assert (
        store.load(tmp_path / "l.json", format="label-studio") == 1
    )  # only the mind that changed, as a new row
    assert store.history("p9", "text1", "text2", rater="human:10")["verdict"].tolist() == ["b", "a"]


def test_faults_in_a_tool_s_file_are_named_and_nothing_is_stored(store, tmp_path):
    bad = [
        {"data": {"prompt": "Q", "x": 1}, "annotations": []},
        {"annotations": []},
        LABEL_STUDIO[0] | {"annotations": [{"completed_by": 1, "created_at": "never", "result": [
            {"from_name": "stars", "to_name": "text1", "type": "rating", "value": {"rating": 9}}]}]},
    ]  # fmt: skip
    (tmp_path / "l.json").write_text(json.dumps(bad))
    with pytest.raises(RatingsFileError) as caught:
        store.load(tmp_path / "l.json", format="label-studio")
    fields = {fault.field for fault in caught.value.faults}
    assert {"row 1, fields", "row 2, data", "row 3, created_at"} <= fields
    assert store.frame().empty and not len(store.answers())


def test_the_labelling_configuration_is_xml_that_names_every_control(store, tmp_path):
    from xml.etree import ElementTree

    root = ElementTree.fromstring(label_studio.CONFIG)
    names = {node.get("name") for node in root.iter() if node.get("toName")}
    store.add(vote("b", scores={"safety": {"a": 1, "b": 2}}, note="n", tags=["t"], rater="human:x"))
    tasks = json.loads(store.export(tmp_path / "r.json", format="label-studio").read_text())
    assert {item["from_name"] for item in tasks[0]["annotations"][0]["result"]} <= names


def broken(node, odd):
    """The JSON with each of its nodes in turn replaced by something odd."""
    yield odd
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        for changed in broken(inner, odd):
            copy = dict(node) if isinstance(node, dict) else list(node)
            copy[key] = changed
            yield copy


@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, [None], {"value": None}], ids=str)
@pytest.mark.parametrize(
    ("tool", "sample"), [("argilla", ARGILLA), ("label-studio", LABEL_STUDIO)], ids=["a", "l"]
)
def test_a_tool_s_file_of_an_odd_shape_is_a_fault_and_never_a_crash(tool, sample, odd):
    refused = 0
    for data in broken(sample, odd):
        faults = []
        try:
            rows, _, faults = TOOLS[tool].read(data)
            list(_checked(rows, None, faults))
        except ValueError:  # which load names with the file
            refused += 1
        refused += bool(faults)
    assert refused  # an odd prompt or odd answers cannot be rated


def test_two_answers_of_one_model_are_named_with_the_file(store, tmp_path):
    other = json.loads(json.dumps(ARGILLA[0])) | {"id": "r2"}
    other["fields"]["response1"] = "Green."
    (tmp_path / "a.json").write_text(json.dumps([ARGILLA[0], other]))
    with pytest.raises(
        RatingsFileError, match=r"(?s)a\.json was not imported.*'base' has more than one answer"
    ):
        store.load(tmp_path / "a.json", format="argilla")
    assert store.frame().empty and not len(store.answers())
