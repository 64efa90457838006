"""Frames one at a time, against a page that this test plays: what it has taken in, it says."""

from __future__ import annotations

import pytest

from sftkit.widgets import pace
from sftkit.widgets.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def page(widget, **content):
    """A message from the page."""
    widget._heard(widget, content, [])


def test_no_frame_before_the_page_has_taken_in_the_last_however_long_that_takes(clock):
    frames = Pace()
    page(frames, seen=0, view="v", shown=True)
    assert frames.free
    frames.sent()
    clock[0] += 3600
    assert not frames.free
    page(frames, seen=1)
    assert frames.free


def test_no_frame_while_nobody_has_it_in_view(clock):
    frames = Pace()
    page(frames, seen=0, view="one", shown=True)
    page(frames, seen=0, view="two", shown=True)
    page(frames, view="one", shown=False)
    assert frames.free
    page(frames, view="two", shown=False)
    assert not frames.free
    page(frames, seen=0, view="three", shown=True)  # the page was loaded anew
    assert frames.free


def test_without_a_page_frames_still_come_but_slowly(clock):
    frames = Pace()
    assert frames.free
    frames.sent()
    assert not frames.free
    clock[0] += pace.UNANSWERED
    assert frames.free


def test_a_page_cannot_have_seen_what_was_not_sent():
    frames = Pace()
    page(frames, seen=99, view="v", shown=True)
    frames.sent()
    assert not frames.free
    page(frames, seen="1")
    assert not frames.free
