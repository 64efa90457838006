"""What training draws from each source: rows, tokens, shares, and how often it sees them.

    found = mix(config)
    found.frame        # source, rows, excluded, used, asked, share_rows, tokens, share_tokens, trained, epochs …
    found.figure()     # matplotlib

Which rows are drawn is asked of what training asks (`shaping.used`, `mixing`); tokens are counted by its encoder over a sample
of the rows drawn, and over all of them where there are no more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sftkit.config import SFTConfig
from sftkit.data import mixing
from sftkit.data.browsing import Drawn
from sftkit.data.encoding import Encoder, encoder
from sftkit.data.lens.opening import Opening, opening
from sftkit.data.lens.rows import told
from sftkit.data.patched import kept
from sftkit.data.shaping import Example
from sftkit.errors import DataError
from sftkit.pictures import picture
from sftkit.wording import listed, say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SAMPLE = 2000  # rows of a source that are encoded
OFF = 0.05  # share of tokens that is this far from the share asked for is worth a word


@dataclass(frozen=True)
class Source:
    """One source. rows: in it; excluded: by its patch; capped, by_probs, by_max_samples: rows that each setting takes away;
    used: rows drawn; asked: its share of the mix as set. tokens, trained: of one epoch, in all and those that teach
    (characters where no tokenizer is there). shares: 0 to 1. epochs: how often its rows are seen, on average over all that
    its patch leaves."""

    source: str
    rows: int
    excluded: int
    capped: int
    by_probs: int
    by_max_samples: int
    used: int
    asked: float | None
    tokens: float
    trained: float
    share_rows: float = 0.0
    share_tokens: float = 0.0
    share_trained: float = 0.0
    epochs: float = 0.0

    @property
    def lost(self) -> str:
        """Why rows are left out, in words."""
        causes = (
            (self.excluded, say("{n:,} by the patch", n=self.excluded)),
            (self.capped, say("{n:,} by dataset_caps", n=self.capped)),
            (self.by_probs, say("{n:,} by dataset_probs", n=self.by_probs)),
            (self.by_max_samples, say("{n:,} by max_samples", n=self.by_max_samples)),
        )
        return listed([words for count, words in causes if count])


@dataclass(frozen=True)
class Mix:
    """The sources of a run. counted: in tokens, else in characters; estimated: from a sample of the rows."""

    found: list[Source]
    passes: int
    counted: bool
    estimated: bool

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a source, with the fields of `Source`."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.found])

    @property
    def notes(self) -> list[str]:
        """What is worth knowing, in sentences."""
        unit = say("tokens") if self.counted else say("characters")
        said: list[str] = []
        for one in self.found:
            if one.asked is not None and abs(one.share_tokens - one.asked) > OFF:
                said.append(say("{source}: {asked:.0%} of the rows was asked for, which is {share:.0%} of the {unit}, since its rows are of another length.", source=one.source, asked=one.asked, share=one.share_tokens, unit=unit))  # fmt: skip
            never = one.rows - one.excluded - one.used
            if never:
                said.append(say("{source}: {never:,} of {rows:,} rows are never seen.", source=one.source, never=never, rows=one.rows - one.excluded))  # fmt: skip
        scarce = [one for one in self.found if one.asked and not one.by_probs and any(other.by_probs for other in self.found)]  # fmt: skip
        said += [say("{source} is the scarcest for its share: it gives all its rows and so limits the others; no row is used twice.", source=one.source) for one in scarce]  # fmt: skip
        if not self.counted:
            said.append(say("Characters are counted, since the tokenizer of the model is not here."))
        elif self.estimated:
            said.append(say("Tokens are estimated from {n:,} rows of each source.", n=SAMPLE))
        return said

    def __str__(self) -> str:
        unit = say("tokens") if self.counted else say("characters")
        lines = [say("{source}: {used:,} of {rows:,} rows, {share_rows:.1%} of rows, {share_tokens:.1%} of {unit}, seen {epochs:.2f} times", source=one.source, used=one.used, rows=one.rows, share_rows=one.share_rows, share_tokens=one.share_tokens, unit=unit, epochs=one.epochs) for one in self.found]  # fmt: skip
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:  # a notebook keeps it beside the page: never all rows
        return str(self)

    def figure(self) -> Figure:
        """Bars of the shares: asked for, of rows and of tokens, source by source. A notebook shows it as it is."""
        unit = "tokens" if self.counted else "characters"
        shown = picture(figsize=(7, 0.6 + 0.6 * len(self.found)), layout="constrained")
        axes = shown.subplots()
        asked = [("asked for", "#9aa5b1", [one.asked or 0.0 for one in self.found])] if any(one.asked is not None for one in self.found) else []  # fmt: skip
        bars = [*asked, ("rows", "#4c78a8", [one.share_rows for one in self.found]), (unit, "#e45756", [one.share_tokens for one in self.found])]  # fmt: skip
        height = 0.8 / len(bars)
        for number, (label, colour, shares) in enumerate(bars):
            places = [place + (number - (len(bars) - 1) / 2) * height for place in range(len(shares))]
            drawn = axes.barh(places, [100 * share for share in shares], height, label=label, color=colour)
            axes.bar_label(drawn, fmt="%.0f %%", fontsize=8, padding=2)
        names = [
            one.source.replace("$", r"\$") for one in self.found
        ]  # no formula, whatever a file is called
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 110)
        axes.set_xlabel("share in per cent")
        axes.legend(fontsize=8, frameon=False)
        return shown

    def html(self, lang: str = "en") -> str:
        """Table, notes and bars as HTML; every text is escaped."""
        from sftkit.data.lens.split_page import mix_html

        return mix_html(self, lang)

    def _repr_html_(self) -> str:
        return self.html()


def mix(config: Any, *, sample: int | None = SAMPLE, progress: bool = True) -> Mix:
    """What training with these settings draws from each source. config: an SFTConfig, or data (all of it, once).

    sample: rows of each source that are encoded to count its tokens (None: all). Raises `DataError` where a source cannot be
    read.
    """
    how = Opening(config) if isinstance(config, SFTConfig) else opening(config)
    drawn = how.drawn()
    encoding = _encoder(how.config)
    found = [_source(drawn, place, encoding, sample, progress) for place in range(len(drawn.sources))]
    estimated = sample is not None and any(one.used > sample for one in found)
    return Mix(_shared(found, how.config.max_epochs), how.config.max_epochs, encoding is not None, estimated)


def _encoder(config: SFTConfig) -> Encoder | None:
    try:
        return encoder(config)
    except (DataError, OSError):
        return None


def _source(drawn: Drawn, place: int, encoding: Encoder | None, sample: int | None, progress: bool) -> Source:
    source, config = drawn.sources[place], drawn.config
    counts = [len(kept(one.rows)) for one in drawn.sources]
    capped = mixing.sizes(counts, caps=config.dataset_caps)[place]
    given = mixing.sizes(counts, probs=config.dataset_probs, caps=config.dataset_caps)[place]
    tokens, trained = _tokens(drawn, place, encoding, sample, progress)
    probs = config.dataset_probs
    return Source(
        source=source.name,
        rows=len(source.rows),
        excluded=len(source.rows) - counts[place],
        capped=counts[place] - capped,
        by_probs=capped - given,
        by_max_samples=given - len(source.numbers),
        used=len(source.numbers),
        asked=None if probs is None else probs[place] / sum(probs),
        tokens=tokens,
        trained=trained,
    )


def _tokens(drawn: Drawn, place: int, encoding: Encoder | None, sample: int | None, progress: bool) -> tuple[float, float]:  # fmt: skip
    """Tokens of the rows of a source that are drawn, and those of them that teach; from a sample, scaled up."""
    begin = sum(len(one.numbers) for one in drawn.sources[:place])
    count = len(drawn.sources[place].numbers)
    numbers: Sequence[int] = range(begin, begin + count)
    if sample is not None and count > sample:
        numbers = sorted(random.Random(drawn.config.seed).sample(numbers, sample))
    examples = [example for _, example in drawn.read(numbers) if isinstance(example, Example)]
    if not examples:
        return 0.0, 0.0
    if encoding is None:
        sizes = [(sum(len(one["content"]) for one in example.messages), sum(len(one["content"]) for one in example.messages if one["role"] == "assistant")) for example in examples]  # fmt: skip
    else:
        rows = told(encoding.encode(examples), say("counting tokens"), progress, total=len(examples))
        sizes = [(row.used, int(row.loss_mask[1 : row.used].sum())) for row in rows]
    scale = count / len(numbers)
    return scale * sum(size for size, _ in sizes), scale * sum(trained for _, trained in sizes)


def _shared(found: list[Source], passes: int) -> list[Source]:
    """The sources with their shares of the whole."""
    rows, tokens, trained = (max(1e-12, sum(getattr(one, name) for one in found)) for name in ("used", "tokens", "trained"))  # fmt: skip
    return [
        replace(
            one,
            share_rows=one.used / rows,
            share_tokens=one.tokens / tokens,
            share_trained=one.trained / trained,
            epochs=passes * one.used / max(1, one.rows - one.excluded),
        )
        for one in found
    ]
