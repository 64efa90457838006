"""What a judge panel shows: one look at store and estimate, read in a thread, and the HTML of it. All text is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from sftkit.generation.table import Generations
from sftkit.judging import Judge
from sftkit.judging import exam as exams
from sftkit.judging.asking import Progress
from sftkit.judging.exam_result import Exam
from sftkit.judging.money import CostEstimate
from sftkit.ratings import RatingStore
from sftkit.report import win_rate
from sftkit.widgets.judge_job import Job
from sftkit.widgets.labels import label, table


@dataclass(frozen=True)
class Look:
    """What is known of one judge on these answers, now."""

    judge: Judge
    estimate: CostEstimate
    exam: Exam
    exam_takes: CostEstimate
    votes: pd.DataFrame  # this judge's, on these comparisons
    comparisons: int
    failures: pd.DataFrame
    canaries: pd.DataFrame


def look(judge: Judge, answers: Generations, store: RatingStore, limit: int | None) -> Look:
    """Read it all; may take a second with thousands of prompts."""
    pairs = answers.pairs()
    if limit is not None:
        pairs = pairs[pairs["prompt_id"].isin(answers.prompts["prompt_id"].head(limit))]
    wanted = {
        (p, frozenset((a, b))) for p, a, b in zip(pairs["prompt_id"], pairs["model_a"], pairs["model_b"])
    }
    votes = store.votes()
    mine = [
        rater == judge.rater and (p, frozenset((a, b))) in wanted
        for rater, p, a, b in zip(votes["rater"], votes["prompt_id"], votes["model_a"], votes["model_b"])
    ]
    return Look(
        judge=judge,
        estimate=judge.estimate(answers, store, limit),
        exam=exams.result(judge, store),
        exam_takes=exams.Sitting(judge, store).estimate(),
        votes=votes[pd.Series(mine, index=votes.index, dtype=bool)],
        comparisons=len(wanted),
        failures=judge.failures(store),
        canaries=judge.canaries(store),
    )


class Pages:
    """The HTML of each part, in one language."""

    def __init__(self, lang: str | None):
        self._lang = lang

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    def _known(self, prefix: str, name: str) -> str:
        return self._(f"{prefix}.{name}") if f"{prefix}.{name}" in table() else name

    def note(self, level: str, words: str) -> str:
        return f"<span class='sft-note sft-{level}' role='status'>{escape(words)}</span>"

    def estimate(self, found: CostEstimate) -> str:
        if not found.calls:
            return f"<div class='sft-figures'>{self.note('good', self._('judge.nothing_left'))}</div>"
        parts = ", ".join(f"{n:,} {self._known('judge.part', part)}" for part, n in found.parts.items() if n)
        tokens = {"tokens_in": f"{found.tokens_in:,}", "tokens_out": f"{found.tokens_out:,}"}
        rows = {
            "judge.estimate_calls": f"{found.calls:,} ({parts})",
            "judge.estimate_tokens": self._("judge.tokens_are", **tokens),
            "judge.estimate_dollars": self._dollars(found),
            "judge.estimate_minutes": self.time(60 * found.minutes),
        }
        if found.smallest_difference is not None:
            points = f"{100 * found.smallest_difference:.1f}"
            rows["judge.estimate_shows"] = self._("judge.shows", points=points, n=f"{found.prompts:,}")
        cells = "".join(
            f"<dt>{escape(self._(key))}</dt><dd>{escape(words)}</dd>" for key, words in rows.items()
        )
        return f"<div class='sft-figures'><b>{escape(self._('judge.estimate'))}</b><dl>{cells}</dl></div>"

    def _dollars(self, found: CostEstimate) -> str:
        if found.dollars is None:
            return self._("judge.dollars_unknown")
        return self._("judge.dollars_are", dollars=f"{found.dollars:.2f}", date=found.price.date or "–")

    def time(self, seconds: float) -> str:
        if seconds < 120:
            return self._("judge.seconds", n=f"{seconds:.0f}")
        if seconds < 7200:
            return self._("judge.minutes", n=f"{seconds / 60:.0f}")
        return self._("judge.hours", n=f"{seconds / 3600:.1f}")

    def exam(self, found: Exam, takes: CostEstimate) -> str:
        """The card, or that there is none yet; and what it would take."""
        dollars = f", ${takes.dollars:.2f}" if takes.dollars is not None else ""
        cost = self._("judge.exam_takes", calls=takes.calls, dollars=dollars) if takes.calls else ""
        if found.missing == len(found.pairs):
            return self.note("warn", f"{self._('judge.exam_not_sat')} {cost}")
        from sftkit.judging.exam_card import as_html

        more = self.note("warn", f"{self._('judge.exam_unfinished')} {cost}") if found.missing else ""
        return more + as_html(found, self._)

    def job(self, job: Job) -> str:
        """State, bar and figures of what is under way or has just ended."""
        now, kind = job.progress, self._state(job)
        share = 100 * now.done / now.total if now.total else 0
        tone = {"stop": "stopping", "spend_limit": "stopping"}.get(kind, kind)
        tone = "running" if kind in ("run", "exam") else tone
        words = self._("judge.stopping") if job.stopping and not job.done else self._(f"judge.state.{kind}")
        return (
            f"<div class='sft-head sft-is-{tone}'><span class='sft-dot'></span>"
            f"<b class='sft-state' role='status'>{escape(words)}</b><span class='sft-run'>{escape(job.rater)}</span></div>"
            f"<div class='sft-bar sft-is-{tone}' role='progressbar' aria-valuenow='{share:.0f}'><div style='width:{share:.1f}%'></div></div>"
            f"<div class='sft-facts'>{escape(' · '.join(self._facts(job, now)))}</div>"
        )

    def _state(self, job: Job) -> str:
        if not job.done:
            return job.kind
        stopped = job.progress.stopped
        return "failed" if job.error else stopped if stopped in ("stop", "spend_limit") else "finished"

    def _facts(self, job: Job, now: Progress) -> list[str]:
        facts = [self._("judge.calls_done", done=f"{now.done:,}", total=f"{now.total:,}")]
        facts += [f"${now.spent:.4f}"] if now.spent is not None else []
        if not job.done and now.seconds_left is not None:
            facts.append(self._("judge.left", time=self.time(now.seconds_left)))
        facts += [self._("judge.at_once_now", n=now.concurrency)] if now.concurrency and not job.done else []
        if failed := sum(now.failures.values()):
            kinds = ", ".join(f"{self._known('judge.reason', kind)} {n}" for kind, n in now.failures.items())
            facts.append(f"{self._('judge.failed_n', n=failed)} ({kinds})")
        return facts

    def results(self, seen: Look) -> str:
        """What the store holds of this judge; nothing while it has judged nothing."""
        votes = seen.votes
        if votes.empty and seen.failures.empty:
            return ""
        done = {"done": f"{len(votes):,}", "total": f"{seen.comparisons:,}", "rater": seen.judge.rater}
        lines = [self._("judge.judged", **done), *self._wins(votes)]
        rows = "".join(f"<li>{escape(line)}</li>" for line in lines)
        page = f"<h4>{escape(self._('judge.results'))}</h4><ul>{rows}</ul>"
        page += self._canaries(seen.canaries) + self._failures(seen.failures)
        return f"<div class='sft-judged'>{page}<p class='sft-hint'>{escape(self._('judge.next'))}</p></div>"

    def _wins(self, votes: pd.DataFrame) -> list[str]:
        lines = []
        for (baseline, model), part in votes.groupby(["model_a", "model_b"], sort=False):
            found = win_rate(part, model, baseline)
            if found.n:
                rate, low, high = (f"{100 * x:.0f} %" for x in (found.value, found.low, found.high))
                flips = int(part["flip"].fillna(False).astype(bool).sum())
                values = {"rate": rate, "low": low, "high": high, "n": found.n, "flips": flips}
                lines.append(self._("judge.wins", model=model, baseline=baseline, **values))
        return lines

    def _canaries(self, frame: pd.DataFrame) -> str:
        if frame.empty:
            return ""
        fine = bool(frame["ok"].all())
        verdict = (
            self.note("good", self._("judge.canaries_good"))
            if fine
            else self.note("stop", self._("judge.canaries_bad"))
        )
        rows = [
            [self._known("judge.canary", r.kind), self._known("judge.must", r.must), "–" if r.rate != r.rate else f"{100 * r.rate:.0f} %", r.n]
            for r in frame.itertuples()
        ]  # fmt: skip
        bad = [not ok for ok in frame["ok"]]
        heads = [self._(f"judge.{key}") for key in ("canary", "must", "broke", "of")]
        return f"<h4>{escape(self._('judge.canaries'))}</h4>{verdict}{_table(heads, rows, bad)}"

    def _failures(self, frame: pd.DataFrame) -> str:
        if frame.empty:
            return ""
        rows = [[self._known("judge.reason", r.reason), r.n] for r in frame.itertuples()]
        title = (
            f"<h4>{escape(self._('judge.failures'))}</h4>{self.note('inform', self._('judge.failures_help'))}"
        )
        return title + _table([self._("judge.reason"), self._("judge.count")], rows, [False] * len(rows))


def _table(heads: list[str], rows: list[list[Any]], bad: list[bool]) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr{' class=sft-stop' if wrong else ''}>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>"
        for row, wrong in zip(rows, bad)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
