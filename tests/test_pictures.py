"""Fonts for Chinese signs, whatever matplotlib remembers."""

from __future__ import annotations

from types import SimpleNamespace

from matplotlib import font_manager

from sftkit import pictures


def test_a_font_installed_since_matplotlib_made_its_list_is_found(monkeypatch):
    listed = [SimpleNamespace(name="DejaVu Sans", fname="/f/DejaVuSans.ttf")]

    def add(path: str) -> None:
        if path == "/f/broken.ttf":
            raise RuntimeError("cannot be read")
        listed.append(SimpleNamespace(name="SimHei", fname=path))

    monkeypatch.setattr(font_manager, "fontManager", SimpleNamespace(ttflist=listed, addfont=add))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/f/broken.ttf", "/f/DejaVuSans.ttf"])
    assert pictures.chinese_fonts.__wrapped__() == ()
    monkeypatch.setattr(
        font_manager,
        "findSystemFonts",
        lambda: [*map("/f/{}.ttf".format, ("broken", "DejaVuSans", "simhei"))],
    )
    assert pictures.chinese_fonts.__wrapped__() == ("SimHei",) and len(listed) == 2
    monkeypatch.setattr(font_manager, "findSystemFonts", None)  # with one known, nobody looks
    assert pictures.chinese_fonts.__wrapped__() == ("SimHei",)


def test_a_picture_shows_signs_and_not_boxes_where_a_font_has_them():
    drawn = []
    for name in ("甲", "乙"):
        shown = pictures.picture(figsize=(2, 1))
        shown.subplots().set_title(name)
        drawn.append(shown._repr_mimebundle_()["image/png"])
    assert (drawn[0] != drawn[1]) == bool(pictures.chinese_fonts())
