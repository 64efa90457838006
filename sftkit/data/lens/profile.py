"""What is in a data set, before anything is trained on it.

profile = sk.profile("data/train.jsonl", "data/tiny-base", max_len=512)
profile                                 # in a notebook: lengths, languages, task types, and what is wrong
profile.exact_duplicates, profile.near_duplicates, profile.lengths, profile.findings
profile.rows_of("near_duplicate")       # the rows behind a count
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.lens import profile_cache
from sftkit.data.lens.kinds import BITS, KINDS, advice, name_of
from sftkit.data.lens.opening import NO_MODEL, Opening, opening, rows_of
from sftkit.data.patched import Patched
from sftkit.data.shaping import Example
from sftkit.errors import DataError
from sftkit.wording import in_language, said_of, say

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NEAR = 0.8  # the similarity from which on two rows are near duplicates
EXCERPT = 160  # characters of a prompt and of an answer
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def profile(
    dataset: Any,
    tokenizer: str | Path | None = None,
    *,
    config: SFTConfig | None = None,
    max_len: int | None = None,
    near: bool | float = True,
    cache: bool = True,
    progress: bool | Callable[[int, int], None] | None = None,
    split: str = "train",
    lang: str = "en",
    **settings: Any,
) -> Profile:
    """Read every row of a data set as training would, and count what is in it.

    dataset: a path, a hub id, several of them, an SFTConfig, a DataFrame or a list of rows (dicts); a patch beside a file
    is applied. tokenizer: a model's folder or hub id; without it lengths are estimated (4 bytes of UTF-8 a token).
    config: tells the columns and the chat template; settings: any of SFTConfig's by name, such as input_key.
    near: whether near duplicates are looked for, or the similarity (0 to 1) from which rows are. cache: whether a profile
    of the same content and settings is taken from the user's cache, and put there. progress: a bar by default; False for
    none, or called with rows done and all rows.

    Memory: about 1 kB a row of JSONL, JSON, CSV and Arrow files; beside it Parquet is held as a table, and what is packed
    by gzip, in UTF-16 or in memory as rows (1.5 to 3 times the file). Raises `DataError` where a source cannot be read or the columns
    are not found; a single row of a JSONL file or a table that cannot is counted.
    """
    opened = opening(dataset, config, split)
    given = {"pretrain": tokenizer and str(tokenizer), "max_len": max_len}
    settings |= {name: value for name, value in given.items() if value is not None}
    opened = Opening(opened.config.with_(**settings), opened.split, opened.rows)
    threshold = None if near is False else NEAR if near is True else float(near)
    if threshold is not None and not 0 < threshold <= 1:
        raise DataError(say("near is a similarity, over 0 up to 1; this is {near}.", near=threshold))
    key = profile_cache.key(opened, threshold) if cache and opened.in_files else None
    found = profile_cache.load(key) if key else None
    if found is None:
        found = _measured(opened, threshold, progress)
        if key:
            profile_cache.save(key, *found)
    table, facts = found
    return Profile(opened, table, facts, lang)


def _measured(opened: Opening, near: float | None, progress: Any) -> tuple[pa.Table, dict[str, Any]]:
    """The rows' table, and what is not in it."""
    import pyarrow as pa

    from sftkit.data.encoding import encoder
    from sftkit.data.lens.measuring import TEXTS, measure

    told = None if opened.config.pretrain == NO_MODEL else encoder(opened.config)
    drawn = opened.drawn()
    for columns in drawn.columns.values():
        if isinstance(columns, DataError):  # no fault of a row
            raise columns
    with _Progress(len(drawn), progress) as tell:
        found = measure(drawn, told, opened.config.max_len, near, tell)
    columns = {name: pa.array(values) for name, values in found.columns.items() if name not in TEXTS}
    columns |= {name: pa.array(found.columns[name], pa.string()) for name in TEXTS}
    for name in set(TEXTS) - {"hash"}:
        columns[name] = columns[name].dictionary_encode()
    order = "source row hash task language turns prompt_chars answer_chars prompt_tokens answer_tokens flags cluster"
    facts = {
        "roles": found.roles, "trained_tokens": found.trained_tokens, "low": found.low, "high": found.high, "near": near,
        "estimated": told is None, "sources": [_source(one) for one in drawn.sources],
    }  # fmt: skip
    return pa.table({name: columns[name] for name in order.split()}), facts


def _source(source: Any) -> dict[str, Any]:
    patch = source.rows if isinstance(source.rows, Patched) else None
    counts = {"rows": len(source.rows), "used": len(source.numbers)}
    return {"source": source.name, **counts, "excluded": len(patch.excluded) if patch else 0, "edited": len(patch.edited) if patch else 0}  # fmt: skip


class _Progress:
    """A bar of rows, shown from the second second on; or whoever wants to hear."""

    def __init__(self, total: int, wanted: bool | Callable[[int, int], None] | None):
        self._total, self._wanted, self._done, self._bar = total, wanted, 0, None

    def __enter__(self) -> Callable[[int], None]:
        if self._wanted in (None, True):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, unit="row", desc="profile", delay=0 if self._wanted else 2)
        return self._tell

    def _tell(self, more: int) -> None:
        self._done += more
        if self._bar is not None:
            self._bar.update(more)
        elif callable(self._wanted):
            self._wanted(self._done, self._total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class Profile:
    """What `profile` found.

    `per_row`: a pyarrow table with a row for each that training would read, in its order: `source`, `row` (from 1), `hash`
    (`patches.row_hash`), `task`, `language` (ISO 639-1), `turns` (messages), `prompt_chars`, `answer_chars`,
    `prompt_tokens`, `answer_tokens` (with marks of the template; estimated where `estimated`), `flags` (bits of
    `kinds.BITS`) and `cluster` (place in the table of the first row that this one repeats or nearly does; -1: alone).
    """

    opening: Opening = field(repr=False)
    per_row: pa.Table = field(repr=False)
    facts: dict[str, Any] = field(repr=False)
    lang: str = "en"

    @property
    def rows(self) -> int:
        """Rows that training would read; those that a patch leaves out are not among them."""
        return self.per_row.num_rows

    @property
    def max_len(self) -> int:
        """Longest row that is trained, in tokens."""
        return self.opening.config.max_len

    @property
    def estimated(self) -> bool:
        """Whether tokens are estimated, for want of a tokenizer."""
        return bool(self.facts["estimated"])

    @property
    def turns(self) -> dict[int, int]:
        """Messages in a conversation -> rows."""
        turns = self.column("turns")[self.column("flags") & BITS["unreadable"] == 0]
        return {int(value): int(count) for value, count in zip(*np.unique(turns, return_counts=True))}

    @property
    def roles(self) -> dict[str, int]:
        """Role -> messages."""
        return dict(self.facts["roles"])

    @property
    def languages(self) -> dict[str, int]:
        """Language (ISO 639-1, or "unknown") of the answers -> rows, the commonest first."""
        return self._counts("language")

    @property
    def tasks(self) -> dict[str, int]:
        """Task type -> rows, the commonest first; "" for rows without one."""
        return self._counts("task")

    @property
    def exact_duplicates(self) -> int:
        """Rows whose conversation is that of an earlier row."""
        return self.count("exact_duplicate")

    @property
    def near_duplicates(self) -> int:
        """Rows that are nearly, and not exactly, an earlier row."""
        return self.count("near_duplicate")

    @property
    def trained(self) -> int:
        """Rows that teach something."""
        return self.rows - self.filtered - self.count("unreadable")

    @property
    def cut(self) -> int:
        """Rows whose first answer is cut at `max_len`."""
        return self.count("cut")

    @property
    def filtered(self) -> int:
        """Rows that training leaves out, since none of their tokens is trained."""
        return self.count("filtered")

    @cached_property
    def lengths(self) -> pd.DataFrame:
        """Tokens of prompts, answers and whole rows: columns min, p50, p90, p95, p99, max, mean, sum."""
        import pandas as pd

        parts = {"prompt": self.column("prompt_tokens"), "answer": self.column("answer_tokens")}
        parts["whole"] = parts["prompt"] + parts["answer"]
        return pd.DataFrame({name: _spread(values) for name, values in parts.items()}).T.rename_axis("part")

    @cached_property
    def sources(self) -> pd.DataFrame:
        """For each source: rows in it, used (drawn), and by its patch excluded and edited."""
        import pandas as pd

        return pd.DataFrame(self.facts["sources"])

    @cached_property
    def findings(self) -> pd.DataFrame:
        """What is worth a look, in the order of `kinds.KINDS`: columns key, level ("stop", "warn", "inform"), count, share (0
        to 1) and text. `rows_of(key)` gives the rows."""
        import pandas as pd

        found = [
            {"key": key, "level": level, "count": count, "share": count / self.rows, "text": self.said(key)}
            for key, level in KINDS.items()
            if (count := self.count(key))
        ]
        return pd.DataFrame(found, columns=["key", "level", "count", "share", "text"])

    def said(self, key: str, lang: str | None = None) -> str:
        """What a kind is and what to do about it, in `lang`."""
        near = self.facts["near"] or NEAR
        told = advice(key, max_len=self.max_len, near=near, low=self.facts["low"], high=self.facts["high"])
        words = say("{name}: {advice}", name=name_of(key), advice=told)
        return in_language(words, lang or self.lang)

    def count(self, key: str) -> int:
        """How many rows a kind has. Raises `DataError` for a kind that is none."""
        return int((self.column("flags") & _bit(key) > 0).sum())

    def column(self, name: str) -> np.ndarray:
        """A column of numbers of `per_row`."""
        return self.per_row.column(name).to_numpy()

    def places(self, key: str | None = None, *, task: str | None = None, language: str | None = None, source: str | None = None) -> np.ndarray:  # fmt: skip
        """Places in `per_row` of the rows of a kind, and of a task type, a language, a source, where these are given."""
        import pyarrow.compute as pc

        chosen = np.ones(self.rows, bool) if key is None else self.column("flags") & _bit(key) > 0
        for name, value in (("task", task), ("language", language), ("source", source)):
            if value is not None:
                chosen &= pc.equal(self.per_row.column(name).cast("string"), value).to_numpy()
        return np.flatnonzero(chosen)

    def rows_of(self, key: str | None = None, *, task: str | None = None, language: str | None = None, source: str | None = None, limit: int | None = None) -> pd.DataFrame:  # fmt: skip
        """The rows behind a count: columns source, row, hash, excerpt, task, language, turns, prompt_tokens, answer_tokens,
        repeats (of a duplicate, the row that it repeats) and problem (why a row cannot be read).

        limit: at most so many, the first ones. Raises `DataError` where the data is not what it was.
        """
        places = self.places(key, task=task, language=language, source=source)[:limit]
        frame = self.per_row.take(places).to_pandas().astype({"source": str, "task": str, "language": str})
        read = self._read(places)
        frame.insert(3, "excerpt", [_excerpt(one) for one in read])
        firsts = frame["cluster"].to_numpy()
        frame["repeats"] = [self._place(int(one)) if one not in (-1, at) else "" for one, at in zip(firsts, places)]  # fmt: skip
        frame["problem"] = [str(said_of(one)) if isinstance(one, DataError) else "" for one in read]
        return frame.drop(columns=["flags", "cluster", "prompt_chars", "answer_chars"])

    def to_html(self, path: str | Path, lang: str | None = None) -> Path:
        """One self-contained page, without scripts. Returns its path."""
        from sftkit.data.lens.profile_page import page

        Path(path).write_text(page(self, lang or self.lang, whole=True), encoding="utf-8")
        return Path(path)

    def _repr_html_(self) -> str:
        from sftkit.data.lens.profile_page import page

        return page(self, self.lang, whole=False)

    def __str__(self) -> str:
        lengths, about = self.lengths, "about " if self.estimated else ""
        lines = [f"{self.rows:,} rows, {self.trained:,} trained, {self.cut:,} cut at max_len {self.max_len:,}, {self.filtered:,} left out"]  # fmt: skip
        lines += [f"{part}: {about}{lengths.loc[part, 'p50']:,.0f} tokens (median), {lengths.loc[part, 'max']:,.0f} at most" for part in ("prompt", "answer")]  # fmt: skip
        lines += [", ".join(f"{name or '-'} {count:,}" for name, count in list(counts.items())[:8]) for counts in (self.languages, self.tasks)]  # fmt: skip
        return "\n".join(
            [*lines, *(f"{row['count']:>9,}  {row.text}" for _, row in self.findings.iterrows())]
        )

    def __repr__(self) -> str:  # a notebook keeps it beside the page: never all rows
        return str(self)

    def _read(self, places: np.ndarray) -> list[Example | DataError]:
        """The conversations at these ascending places."""
        drawn, found = self._drawn, []
        begin = 0
        for source in drawn.sources:
            end = begin + len(source.numbers)
            inside = [int(at) for at in places if begin <= at < end]
            for at, (row, digest, example) in zip(inside, rows_of(drawn, source, [source.numbers[at - begin] for at in inside])):  # fmt: skip
                known = self.per_row.slice(at, 1)
                if (row, digest) != (known["row"][0].as_py(), known["hash"][0].as_py()):
                    raise DataError(
                        say("has changed since it was profiled: profile it again."), file=source.name
                    )
                found.append(example)
            begin = end
        return found

    @cached_property
    def _drawn(self) -> Any:
        drawn = self.opening.drawn()
        if len(drawn) != self.rows:
            raise DataError(say("has changed since it was profiled: profile it again."), file=self.opening.config.dataset)  # fmt: skip
        return drawn

    def _place(self, at: int) -> str:
        one = self.per_row.slice(at, 1)
        return f"{one['source'][0].as_py()}, row {one['row'][0].as_py()}"

    def _counts(self, name: str) -> dict[str, int]:
        counted = self.per_row.column(name).cast("string").value_counts().to_pylist()
        return {one["values"]: one["counts"] for one in sorted(counted, key=lambda one: -one["counts"])}


def _bit(key: str) -> int:
    if key not in BITS:
        raise DataError(say("there are no rows of the kind {key!r}; kinds: {names}.", key=key, names=", ".join(BITS)))  # fmt: skip
    return BITS[key]


def _spread(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("min", *QUANTILES, "max", "mean", "sum"), 0.0)
    told = dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values()))))
    return {"min": values.min(), **told, "max": values.max(), "mean": values.mean(), "sum": values.sum(dtype=np.int64)}  # fmt: skip


def _excerpt(example: Example | DataError) -> str:
    """The beginnings of the last question and of its answer."""
    if isinstance(example, DataError):
        return ""
    last = {one["role"]: one["content"] for one in example.messages}
    parts = [" ".join(last.get(role, "")[: 4 * EXCERPT].split()) for role in ("user", "assistant")]
    return " → ".join(part if len(part) <= EXCERPT else part[: EXCERPT - 1] + "…" for part in parts)
