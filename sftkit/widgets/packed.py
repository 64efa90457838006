"""A widget whose browser half and long messages travel compressed: a third of the bytes, which counts between a rater's
browser and a hub far away. Jupyter's websockets compress nothing by themselves.

anywidget gets a loader (widgets/src/packed.ts) for the code, which finds the bundle in `_packed`; long messages come as
{"packed": true} with the message itself in their buffer (widgets/src/kernel.ts).
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

STATIC = Path(__file__).parent / "static"
LONG = 1500  # characters of a message from which on it is worth it


@cache
def bundle(name: str) -> bytes:
    """The code and the style of static/NAME.js and .css."""
    texts = {"code": STATIC / f"{name}.js", "style": STATIC / f"{name}.css"}
    return packed(
        json.dumps({key: path.read_text(encoding="utf-8") for key, path in texts.items()}, ensure_ascii=False)
    )


def packed(text: str) -> bytes:
    """zlib's format, which a browser knows as "deflate"."""
    return zlib.compress(text.encode(), 6)


class PackedWidget(anywidget.AnyWidget):
    """Give the bundle's name: `super().__init__(_packed=bundle("grid"), …)`."""

    _esm = STATIC / "packed.js"
    _packed = traitlets.Bytes().tag(sync=True)

    def _send(self, message: dict[str, Any], buffers: Any = None) -> None:
        if message.get("method") == "custom" and not buffers:
            text = json.dumps(message["content"], ensure_ascii=False, default=str)
            if len(text) > LONG:
                message, buffers = {**message, "content": {"packed": True}}, [packed(text)]
        super()._send(message, buffers=buffers)
