"""The rows of the highest loss, for TokenLens: while training (`Run.row_losses`), and measured on demand under the model
before and after (`Run.score_rows`, `Run.row_scores`)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sftkit.errors import RunError
from sftkit.runs import scoring

KEYS = ["source", "row"]
# The columns to sort by; "change" is what training did while it ran, "gain" what it did by the measurement.
COLUMNS = ("first_loss", "last_loss", "change", "base_loss", "tuned_loss", "gain")
PREFERRED = ("tuned_loss", "last_loss", "base_loss", "first_loss")
MEASURED = 2_000  # rows measured at a time: drawn with the seed, where there are more


def offered(run: Any) -> dict[str, bool]:
    """Whether the losses of rows can be shown, and be measured."""
    return {"shown": hasattr(run, "row_losses"), "measured": hasattr(run, "score_rows")}


def table(run: Any, by: str | None = None, limit: int = 50) -> pd.DataFrame:
    """The `limit` rows with the highest value of the column `by` (one of COLUMNS; None: the best there is).

    Columns: source, row (from 1), tokens, and those of COLUMNS that are known, in nats a trained token; `change` and
    `gain` are later minus earlier loss, so their highest rows became worse. `attrs`: `by`, `columns`, `of` (rows that
    have a loss). Raises `RunError` when no loss is recorded, or `by` is not among them.
    """
    found = _merged(run)
    columns = [name for name in COLUMNS if name in found]
    if not columns:
        raise RunError("This run recorded no losses of rows.")
    by = by or next(name for name in PREFERRED if name in columns)
    if by not in columns:
        raise RunError(f"There is no {by!r}; there are {', '.join(columns)}.")
    known = found.dropna(subset=[by])
    worst = known.nlargest(limit, by)[[*KEYS, "tokens", *columns]].reset_index(drop=True)
    worst.attrs = {"by": by, "columns": columns, "of": len(known)}
    return worst


def _merged(run: Any) -> pd.DataFrame:
    parts = [part for name in ("row_losses", "row_scores") if (part := _read(run, name)) is not None]
    if not parts:
        return pd.DataFrame(columns=KEYS)
    found = parts[0]
    if len(parts) > 1:
        found = parts[0].merge(parts[1], on=KEYS, how="outer", suffixes=("_trained", ""))
        found["tokens"] = found["tokens"].fillna(found["tokens_trained"]).astype(int)
    for name, later, earlier in (("change", "last_loss", "first_loss"), ("gain", "tuned_loss", "base_loss")):
        if later in found and earlier in found:
            found = found.assign(**{name: found[later] - found[earlier]})
    return found


def _read(run: Any, name: str) -> pd.DataFrame | None:
    """A table of the run's; None where it has none."""
    if not hasattr(run, name) or (name == "row_scores" and not (run.folder / scoring.SCORES).is_file()):
        return None
    found = getattr(run, name)()
    return None if found.empty else found


def at_step(run: Any, step: int) -> dict[tuple[str, int], float]:
    """Source and row -> loss, of the rows that step `step` trained; empty where that is not on record (yet)."""
    if not hasattr(run, "rows_at"):
        return {}
    try:
        found = run.rows_at(step)
    except RunError:
        return {}
    return dict(zip(zip(found["source"], found["row"].tolist()), found["loss"].tolist()))


def score(run: Any, rows: int) -> Any:
    """Start the measurement of up to MEASURED of `rows` rows, in a process of its own: a `Scoring`. Raises `RunError`."""
    if not offered(run)["measured"]:
        raise RunError("Only the rows of a run can be measured under its model before and after.")
    return run.score_rows(None if rows <= MEASURED else MEASURED)


def progress(measuring: Any) -> dict[str, Any] | None:
    """How far a measurement is: `share` (0 to 1), `done`, `error` ("" where there is none); None without one."""
    if measuring is None:
        return None
    done = measuring.done  # asked first: what follows is then the last word
    return {"done": done, "share": measuring.progress, "error": (measuring.error or "") if done else ""}
