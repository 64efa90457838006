"""Pictures by matplotlib that a notebook shows by themselves, without `%matplotlib inline`, in Chinese where a font has it.

shown = picture(figsize=(7, 2), layout="constrained")      # a matplotlib Figure
axes = shown.subplots()
with fonts(): shown.savefig("mix.png")
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110  # of a picture in a notebook
CHINESE = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Noto Sans CJK JP",
    "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip


def picture(**how: Any) -> Figure:
    """A matplotlib Figure made with `how`, which a notebook shows as PNG."""
    return _shown_by_itself()(**how)


@contextmanager
def fonts(**settings: Any) -> Iterator[None]:
    """While a picture is made and saved: letters, and Chinese signs where this machine has a font with them; not a word about
    each sign that no font has. settings: matplotlib's, besides."""
    # font.family: of the list in font.sans-serif matplotlib takes the first font alone, for every sign.
    from matplotlib import rc_context

    with rc_context({"font.family": _families(), **settings}), warnings.catch_warnings():  # fmt: skip
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _families() -> list[str]:
    return ["DejaVu Sans", *chinese_fonts()]


@cache
def chinese_fonts() -> tuple[str, ...]:
    """Fonts of this machine that have Chinese signs, those made for the screen first."""
    from matplotlib import font_manager

    if not (found := _known(font_manager)):
        _read_anew(font_manager)
        found = _known(font_manager)
    return found


def _known(font_manager: Any) -> tuple[str, ...]:
    names = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(font for font in CHINESE if font in names)


def _read_anew(font_manager: Any) -> None:
    """Fonts that were installed since matplotlib wrote its list of them: it never looks again."""
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - listed:
        with suppress(OSError, RuntimeError, ValueError):  # damaged, or of a kind that it does not read
            font_manager.fontManager.addfont(path)


@cache
def _shown_by_itself() -> type[Figure]:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    class Picture(Figure):
        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
            file = BytesIO()
            with fonts():
                for text in self.findobj(Text):  # each took its family when it was made
                    text.set_fontfamily(_families())
                self.savefig(file, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata={"Software": None})  # fmt: skip
            return {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": repr(self)}

    return Picture
