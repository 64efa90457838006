"""The button that asks before it acts."""

from __future__ import annotations

import asyncio

import pytest

from sftkit.widgets import asked_twice
from sftkit.widgets.asked_twice import AskedTwice


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(asked_twice.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def done():
    return []


@pytest.fixture
def button(done):
    return AskedTwice("Delete", "Yes, delete", lambda: "<b>all</b> of it?", lambda: done.append(1), lang="en")


def test_the_first_press_asks_and_the_second_acts(button, done, clock):
    button.button.click()
    assert done == [] and button.asking and button.button.description == "Yes, delete"
    assert "&lt;b&gt;all" in button.children[2].value
    clock[0] += 1
    button.button.click()
    assert done == [1] and not button.asking and button.button.description == "Delete"


def test_a_double_click_is_no_answer(button, done, clock):
    button.button.click()
    clock[0] += asked_twice.TOO_SOON / 2
    button.button.click()
    assert done == [] and button.asking


def test_cancel_takes_the_question_back(button, done, clock):
    button.button.click()
    button.no.click()
    clock[0] += 1
    assert not button.asking and len(button.children) == 1
    button.button.click()
    assert done == [] and button.asking


def test_a_question_that_nobody_answers_is_withdrawn(done, monkeypatch):
    monkeypatch.setattr(asked_twice, "GIVEN_UP", 0.02)

    async def wait():
        button = AskedTwice("Delete", "Yes", lambda: "?", lambda: done.append(1))
        button.button.click()
        await asyncio.sleep(0.1)
        return button.asking

    assert asyncio.run(wait()) is False and done == []
