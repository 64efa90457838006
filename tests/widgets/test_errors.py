"""Errors in callbacks: shown, counted, escaped, taken away on demand."""

from __future__ import annotations

import logging

from sftkit.errors import RunError
from sftkit.widgets.errors import KEPT, ErrorRoom, shown

HOSTILE = "<img src=x onerror=alert(1)>"


class Thing:
    def __init__(self):
        self.errors = ErrorRoom("en")

    @shown
    def work(self, error=None):
        if error:
            raise error
        return "done"


def text(room):
    return room.children[0].value if room.children else ""


def test_what_works_is_left_alone():
    thing = Thing()
    assert thing.work() == "done" and text(thing.errors) == ""


def test_an_error_is_shown_with_its_traceback_folded_and_is_logged(caplog):
    thing = Thing()
    with caplog.at_level(logging.ERROR):
        assert thing.work(ValueError("row 7")) is None
    page = text(thing.errors)
    assert "ValueError: row 7" in page.split("<details>")[0]
    assert "test_errors.py" in page.split("<details>")[1]
    assert "row 7" in caplog.text


def test_our_own_errors_speak_for_themselves():
    thing = Thing()
    thing.work(RunError("The run is gone."))
    assert thing.errors.messages == ["The run is gone."]


def test_text_is_escaped():
    thing = Thing()
    thing.work(ValueError(HOSTILE))
    assert HOSTILE not in text(thing.errors) and "&lt;img" in text(thing.errors)


def test_the_same_error_is_counted_and_old_ones_give_way():
    thing, error = Thing(), RunError("again")
    for _ in range(3):
        thing.errors.show(error)
    assert thing.errors.messages == ["again"] and "3 times" in text(thing.errors)
    for number in range(KEPT):
        thing.errors.show(RunError(f"number {number}"))
    assert thing.errors.messages == [f"number {number}" for number in reversed(range(KEPT))]


def test_dismiss_empties_the_room():
    thing = Thing()
    thing.work(ValueError("gone soon"))
    thing.errors.children[1].click()
    assert text(thing.errors) == "" and thing.errors.messages == []
