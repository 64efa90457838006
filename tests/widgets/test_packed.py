"""Code and long messages travel compressed, and come out as they were."""

from __future__ import annotations

import json
import zlib

import anywidget
import pytest

from sftkit.widgets.packed import LONG, STATIC, PackedWidget, bundle


def test_the_bundle_holds_code_and_style_word_for_word():
    made = json.loads(zlib.decompress(bundle("grid")))
    assert made["code"] == (STATIC / "grid.js").read_text("utf-8")
    assert made["style"] == (STATIC / "grid.css").read_text("utf-8")


@pytest.fixture
def sent(monkeypatch):
    found = []
    monkeypatch.setattr(
        anywidget.AnyWidget, "_send", lambda _self, message, buffers=None: found.append((message, buffers))
    )
    return found


def test_a_long_message_is_packed_and_a_short_one_is_not(sent):
    widget = PackedWidget(_packed=bundle("grid"))
    long = {"ask": "n1", "rows": ["例 <&> " * LONG]}
    for message in ({"ask": "n0", "row": 3}, long):
        widget.send(message)
    (short, none), (marked, [data]) = [each for each in sent if each[0]["method"] == "custom"]
    assert short == {"method": "custom", "content": {"ask": "n0", "row": 3}} and not none
    assert (
        marked == {"method": "custom", "content": {"packed": True}}
        and json.loads(zlib.decompress(data)) == long
    )
    assert len(data) < 1000
