import pickle
import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from sftkit.errors import StoreError
from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore, database

HOSTILE = [
    "'; DROP TABLE ratings; --",
    '" OR 1=1 --',
    "{json: [} %s :name ?",
    "评审：张三 😀",
    "line\r\nbreak\ttab",
]


def vote(verdict="a", rater="human:ana", prompt_id="p1", a="base", b="tuned", **more):
    return Rating(rater, prompt_id, a, b, verdict, **more)


def answers(**responses):
    rows = [
        {"prompt_id": f"p{n}", "prompt": f"Question {n}", "task": "qa", "model": model, "response": text}
        for n in (1, 2)
        for model, text in (responses or {"base": "abc", "tuned": "你好"}).items()
    ]
    return Generations.from_frame(pd.DataFrame(rows, dtype=object))


def test_a_rating_comes_back_as_it_was(store):
    scores = {"safety": {"a": 1, "b": 5}, "style": 3}
    rating = vote(
        scores=scores, note="因为", shown_first="b", seconds=2.5, tokens_in=7, evidence={"x": [1, None]}
    )
    assert store.add(rating) == 1
    row = store.frame().iloc[0]
    assert (row["scores"], row["note"], row["evidence"]) == (scores, "因为", {"x": [1, None]})
    assert (row["shown_first"], row["seconds"], row["tokens_in"]) == ("b", 2.5, 7)
    assert abs((row["created"] - pd.Timestamp.now("UTC")).total_seconds()) < 60


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(store, text):
    store.register(answers(**{text: text, "other": "y"}))
    store.add(vote(rater=text, prompt_id="p1", a=text, b="other", note=text, key=text))
    row = store.frame(rater=text).iloc[0]
    assert [row[name] for name in ("rater", "model_a", "note", "key")] == [text] * 4
    assert store.answers().response("p1", text) == text
    assert len(store.votes()) == 1


def test_what_no_database_can_hold_is_replaced_not_refused(store):
    store.register(answers(base="half \ud83d and \x00", tuned="y"))
    store.register(answers(base="half \ud83d and \x00", tuned="y"))
    store.add(vote(note="\udc80", evidence={"k": "\ud83d"}))
    assert store.answers().response("p1", "base") == "half \ufffd and \ufffd"
    assert store.frame().iloc[0]["note"] == "\ufffd"


def test_a_correction_is_a_new_row_and_the_newest_counts(store):
    store.add_many([vote("a"), vote("b"), vote("tie", rater="human:bo"), vote("b", prompt_id="p2")])
    frame = store.frame()
    assert len(frame) == 4 and frame["current"].tolist() == [False, True, True, True]
    ana = store.votes().set_index(["rater", "prompt_id"])["outcome"]
    assert ana["human:ana", "p1"] == 0.0 and ana["human:bo", "p1"] == 0.5


def test_a_correction_with_the_sides_swapped_is_the_same_comparison(store):
    store.add_many([vote("a", shown_first="a"), vote("a", a="tuned", b="base", shown_first="b")])
    assert store.frame()["current"].tolist() == [False, True]
    assert store.votes()["outcome"].tolist() == [0.0]


def test_a_retraction_keeps_history_and_ends_the_vote(store):
    store.add_many([vote("a", shown_first="a"), vote("retracted"), vote("b", rater="human:bo")])
    assert store.frame()["current"].tolist() == [False, False, True]
    assert store.votes()["rater"].tolist() == ["human:bo"]
    store.add(vote("tie"))
    assert len(store.votes()) == 2 and len(store.frame()) == 4


def test_scores_before_a_verdict_are_kept_and_are_no_vote(store):
    store.add(vote("open", scores={"safety": 4}))
    assert store.votes().empty and store.frame()["current"].all()


@pytest.mark.parametrize(
    ("first", "second", "outcome", "flip"),
    [("a", "a", 1.0, False), ("a", "b", 0.5, True), ("tie", "tie", 0.5, False), ("tie", "b", 0.5, True)],
)
def test_two_orders_are_one_vote(store, first, second, outcome, flip):
    judge = "judge:m/pairwise-v1"
    store.add_many([vote(first, judge, shown_first="a"), vote(second, judge, shown_first="b")])
    votes = store.votes()
    assert votes["outcome"].tolist() == [outcome] and votes["flip"].tolist() == [flip]


def test_two_orders_stored_with_models_swapped(store):
    """The judge's second request calls the other model a: both name `tuned` the winner, so that is the vote."""
    store.add_many([vote("b", shown_first="a"), vote("a", a="tuned", b="base", shown_first="a")])
    votes = store.votes()
    assert votes[["model_a", "outcome", "flip"]].values.tolist() == [["base", 0.0, False]]


def test_any_unscored_order_leaves_the_vote_missing(store):
    store.add_many([vote("a", shown_first="a"), vote("unscored", reason="no JSON", shown_first="b")])
    votes = store.votes()
    assert len(votes) == 1 and votes["outcome"].isna().all() and votes["flip"].isna().all()
    single = vote("b", prompt_id="p2")
    store.add(single)
    assert store.votes()["flip"].isna().all()  # one order cannot show a flip


def test_votes_name_the_baseline_a_and_know_task_and_lengths(store):
    store.register(answers(zeta="abc", alpha="你好"))
    store.add_many([vote("a", a="alpha", b="zeta"), vote("b", prompt_id="unknown", a="x", b="alpha")])
    first, second = store.votes().to_dict("records")
    assert (first["model_a"], first["model_b"], first["outcome"]) == ("zeta", "alpha", 0.0)
    assert (first["task"], first["len_a"], first["len_b"]) == ("qa", 3, 2)
    assert (second["model_a"], second["outcome"]) == ("alpha", 1.0)
    assert second["task"] is None or pd.isna(second["task"])


def test_an_empty_store_has_every_column(store):
    assert store.votes().empty and list(store.votes().columns)[:5] == [
        "prompt_id",
        "model_a",
        "model_b",
        "rater",
        "outcome",
    ]
    assert store.frame().empty and "current" in store.frame() and store.answers().models == []


def test_registering_twice_changes_nothing_and_a_rated_answer_stays(store):
    store.register(answers())
    store.register(answers())
    assert len(store.answers()) == 4 and store.answers().models == ["base", "tuned"]
    store.register(answers(base="abc", tuned="new text"))  # not rated yet: replaced
    assert store.answers().response("p1", "tuned") == "new text"
    store.add(vote())
    with pytest.raises(StoreError, match="1 answers of 'tuned' differ"):
        store.register(answers(base="abc", tuned="newer still"))
    assert store.answers().response("p2", "tuned") == "new text"


def test_another_prompt_under_the_same_id_is_refused(store):
    store.register(answers())
    other = pd.DataFrame([{"prompt_id": "p1", "prompt": "Another", "model": "base", "response": "x"}])
    with pytest.raises(StoreError, match="other prompts under 'p1'"):
        store.register(Generations.from_frame(other))


def test_the_same_key_is_stored_once(store):
    assert store.add(vote(key="k1")) == store.add(vote(key="k1"))
    assert len(store.frame()) == 1


def test_add_many_is_all_or_nothing(store):
    with pytest.raises(StoreError, match=r"takes sk\.Rating, not dict"):
        store.add_many([vote(), {"verdict": "a"}])
    assert store.frame().empty


def test_threads_share_a_store_also_in_memory(store):
    for shared in (store, RatingStore("sqlite://")):
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda n, s=shared: s.add(vote(prompt_id=f"p{n}")), range(80)))
        assert sorted(ids) == list(range(1, 81)) and len(shared.votes()) == 80


def test_pickle_opens_the_same_database(store):
    store.add(vote())
    assert len(pickle.loads(pickle.dumps(store)).frame()) == 1


def test_votes_are_synced_to_disk(tmp_path):
    store = RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")
    with store._engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")
        ]
    assert settings == ["wal", 2]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ratings", "Write sqlite:///ratings.db"),
        ("sqlite:////no/such/folder/r.db", "no folder"),
        ("oracle9://x", "No driver"),
    ],
)
def test_a_url_that_cannot_work_says_why(url, says):
    with pytest.raises(StoreError, match=says):
        RatingStore(url)


def test_foreign_broken_and_newer_databases_are_left_alone(tmp_path):
    foreign, broken, newer = (tmp_path / name for name in ("foreign.db", "broken.db", "newer.db"))
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE ratings (x)")
    broken.write_text("this is no database, " * 50)
    RatingStore(newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE sftkit_schema SET version = 99")
    for path, says in (
        (foreign, "another program"),
        (broken, "not a database"),
        (newer, "schema version 99"),
    ):
        with pytest.raises(StoreError, match=says):
            RatingStore(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+nodriver://ana:hunter2@127.0.0.1/x",
        "postgresql//ana:hunter2@127.0.0.1/x",
        "postgresql://ana:hunter2@127.0.0.1:port/x",
    ],
)
def test_a_password_is_never_shown(url):
    with pytest.raises(StoreError) as caught:
        RatingStore(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_the_same_answers_twice_change_nothing_whatever_the_prompt_holds(store):
    rows = [
        {"prompt": f"{odd} x", "model": m, "response": odd}
        for odd in ("\ud83d", "a\0b")
        for m in ("base", "t")
    ]
    odd = Generations.from_frame(pd.DataFrame(rows, dtype=object))
    store.register(odd)
    store.register(odd)
    assert len(store.answers()) == 4


def test_a_file_may_be_given_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RatingStore("ratings.db").add(vote())
    assert len(RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}").frame()) == 1
    with pytest.raises(StoreError, match=r"sqlite:///ratings\.db"):
        RatingStore("ratings")


def test_a_writer_who_waits_too_long_is_told(tmp_path, monkeypatch):
    store = RatingStore(tmp_path / "ratings.db")
    monkeypatch.setattr(database, "BUSY_MS", 50)
    other = sqlite3.connect(tmp_path / "ratings.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"Cannot write to the rating store .*database is locked"):
        store.add(vote())
    other.rollback()
    other.close()
    assert store.add(vote()) == 1


@pytest.mark.parametrize("durable", [True, False])
def test_only_leases_are_not_synced(tmp_path, durable):
    store = RatingStore(tmp_path / "ratings.db")
    for _ in range(2):  # the next one on the same connection
        with store.writing(durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == (2 if durable else 1)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_closed_is_replaced(store):
    store.add(vote())
    with store.reading() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    other = RatingStore(store.url)
    with other.writing() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
    other.close()
    assert store.add(vote("b")) == 2


def test_no_vote_is_stored_when_its_place_in_the_project_cannot_be(store, monkeypatch):
    """Rating and assignment are one transaction."""
    from sftkit.ratings import assignments

    def fail(*_):
        raise RuntimeError("power cut")

    monkeypatch.setattr(assignments, "record", fail)
    with pytest.raises(RuntimeError):
        store.add(vote(project="pilot"))
    assert store.frame().empty


def test_many_at_once_keep_their_order_and_known_keys(store):
    first = store.add_many([vote(prompt_id=f"p{n}", key=f"k{n}") for n in range(3)])
    mixed = [
        vote(prompt_id="x"),
        vote(key="k1"),
        vote(prompt_id="y", key="new"),
        vote(key="new"),
        vote(prompt_id="z"),
    ]
    ids = store.add_many(mixed)
    assert ids[1] == first[1] and ids[3] == ids[2] and ids[0] < ids[2] < ids[4]
    assert store.frame()["prompt_id"].tolist() == ["p0", "p1", "p2", "x", "y", "z"]
