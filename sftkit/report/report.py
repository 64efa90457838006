"""The report: everything a store of ratings says about who won, as tables, words, figures and one HTML file.

report = Report(RatingStore("sqlite:///ratings.db"))
report                      # in a notebook
print(report)               # in a terminal
report.to_html("report.html")
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sftkit.errors import ReportError
from sftkit.ratings.votes import of_models
from sftkit.report import by_source, scores, tables, words
from sftkit.report.agreement import meetings
from sftkit.report.alarms import alarms
from sftkit.report.bias import bias_card
from sftkit.report.calibration import calibration
from sftkit.report.estimates import check_votes
from sftkit.report.raters import rater_cards
from sftkit.report.sources import Sources, sources
from sftkit.report.weights import Learned, learned_weights, score_table

if TYPE_CHECKING:
    import plotly.graph_objects as go

RATING_COLUMNS = ["rater", "prompt_id", "model_a", "model_b", "verdict", "scores", "shown_first", "current"]
ANSWER_COLUMNS = ["prompt_id", "prompt", "task", "reference", "model", "response"]


class Report:
    """What the ratings say at this moment. Make a new one to see later ratings.

    source: a RatingStore, one of its projects, or a DataFrame of votes (prompt_id, model_a, model_b, rater, outcome: 1 where
    a wins, 0.5 a tie, 0 where b wins, missing where unscored). ratings: beside votes, what RatingStore.frame() gives; adds dimensions and
    biases. baseline: the model the others are compared with; the first registered unless named.

    `.alarms`: a sentence for each judge that canaries have beaten; they stand first, in red. In every table low and high
    are a 95 % interval and n counts what the figure rests on; rater is a name such as "human:ana" or "judge:gpt-4.1/pairwise-v2",
    or "human:*", all humans together where there are several. "Each voice" is "human:*", or the one human, and each judge.
    Raises ReportError for another source, a missing column or an unknown baseline.
    """

    alarms: list[str] = []

    def __init__(self, source: Any, ratings: pd.DataFrame | None = None, baseline: str | None = None):
        if isinstance(source, pd.DataFrame):
            self.votes = source
            self.frame = ratings if ratings is not None else pd.DataFrame(columns=RATING_COLUMNS)
            self.answers = pd.DataFrame(columns=ANSWER_COLUMNS)
        elif hasattr(source, "votes") and hasattr(source, "frame"):
            self.votes, self.answers = source.votes(), source.answers().frame
            self.frame = source.frame()
            self.alarms = alarms(self.frame)
        else:
            raise ReportError(
                f"a report is made of a RatingStore or of votes, not of {type(source).__name__}"
            )
        check_votes(self.votes)
        if missing := [name for name in RATING_COLUMNS if name not in self.frame.columns]:
            raise ReportError(f"ratings lack the column(s) {', '.join(missing)}")
        self.ratings = of_models(self.frame) if len(self.frame) else self.frame  # without canaries
        self.votes = tables.plain(tables.with_probability(self.votes, self.ratings))
        known = list(dict.fromkeys([*self.answers["model"], *tables.models(self.votes)]))
        if baseline is not None and baseline not in known:
            raise ReportError(f"no model {baseline!r}; models: {', '.join(known) or 'none'}")
        self.baseline = baseline or (known[0] if known else "")

    @cached_property
    def win_rates(self) -> pd.DataFrame:
        """Share of votes won against the baseline, a tie being half a win; one row a rater and model. Columns rater, model,
        baseline, win_rate (0..1), low, high, n (scored votes), unscored, wins, ties, losses. Wilson interval, clustered by
        prompt."""
        return tables.win_rates(self.votes, self.baseline)

    @cached_property
    def by_task(self) -> pd.DataFrame:
        """The columns of win_rates and `task`; empty where tasks are not known."""
        return tables.win_rates(
            self.votes if "task" in self.votes else self.votes.assign(task=None), self.baseline, "task"
        )

    @cached_property
    def by_length(self) -> pd.DataFrame:
        """The columns of win_rates and `length`: where the model's answer is "shorter" than the baseline's, "similar" (within
        a quarter) or "longer"; empty where lengths are not known."""
        return tables.by_length(self.votes, self.baseline)

    @cached_property
    def length_controlled(self) -> pd.DataFrame:
        """Win rates at equal length, one row a voice, model and prior. Columns rater, model, baseline, prior ("none"; for judges
        of ten models or fewer also "AlpacaEval"), win_rate, low, high, n, unscored, note: why there is no figure."""
        return by_source.length_controlled(self.votes, self.baseline)

    @cached_property
    def strengths(self) -> pd.DataFrame:
        """All models on one scale, for each voice: rater and the columns of `bradley_terry` (model, log_strength, low, high, se,
        n, rank, rank_low, rank_high, note), the strongest first."""
        return by_source.strengths(self.votes)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Win rate of every model against every other, for each voice: columns rater, model, against, win_rate, low, high, n,
        unscored; both directions."""
        return by_source.pairs(self.votes)

    @cached_property
    def rankings(self) -> pd.DataFrame:
        """The same votes ranked seven ways by evalica, for each voice: columns rater, algorithm, model, score, rank."""
        return by_source.ranked(self.votes)

    @cached_property
    def by_dimension(self) -> pd.DataFrame:
        """Mean scores 1 to 5 of each model and of the baseline on the same prompts: columns rater, dimension, model, baseline,
        mean, mean_baseline, difference, low, high (of the difference), n (prompts), one_sided (scores without a
        counterpart, left out), win_rate (share with the higher score), win_low, win_high."""
        return tables.by_dimension(self.ratings, self.baseline)

    @cached_property
    def mean_scores(self) -> pd.DataFrame:
        """Mean scores 1 to 5 of every model, the baseline too: columns rater, dimension, model, mean, low, high, n (scores)."""
        return scores.mean_scores(self.ratings)

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """How often two raters give the same verdict, for every two who judged the same comparisons. Columns rater_x, rater_y,
        agreement, low, high, n; without_ties, without_low, without_high, n_without_ties; kappa, kappa_low, kappa_high
        (Cohen's, the same whichever model is called A); ceiling (agreement of two humans, beside a judge's); note."""
        return tables.agreements(self.votes, self._meetings)

    @cached_property
    def score_agreement(self) -> pd.DataFrame:
        """Agreement of every two raters on scores: columns rater_x, rater_y, dimension, same (share of equal scores), kappa
        (Cohen's, quadratic weights), low, high, n (answers both scored), note."""
        return scores.score_agreement(self.ratings)

    @cached_property
    def reliability(self) -> pd.DataFrame:
        """Krippendorff's ordinal alpha of scores: columns raters ("human:*", "judge:*" or "*", everybody), dimension, alpha, low,
        high, n (answers with two scores or more), alone (with one), count (of raters), note."""
        return scores.reliability(self.ratings)

    @cached_property
    def rater_cards(self) -> pd.DataFrame:
        """One row a rater. Columns rater, n (scored votes), unscored, ties (share); severity (points on 1 to 5, above 0:
        harsher than the others on the same answers), consistency (share of same verdicts when shown the other way
        round), humans (agreement with human raters), each with _low, _high, _n; seconds (median a rating), note."""
        return rater_cards(self.votes, self.ratings, self._meetings)

    @cached_property
    def _meetings(self) -> pd.DataFrame:
        return meetings(self.votes, "*", "*")

    @cached_property
    def bias(self) -> pd.DataFrame:
        """How each rater leans, in short: columns rater, first (share of decided verdicts for the answer shown first; 0.5 is no
        leaning), low, high, n, flips (share of the flips_n comparisons whose verdict turned with the order), flips_n, ties,
        unscored (shares of all), verdicts (their number)."""
        return tables.bias(self.votes, self.ratings)

    @cached_property
    def bias_card(self) -> pd.DataFrame:
        """Every leaning of every rater, with the ranking without it: the columns of `bias_card`."""
        return bias_card(self.votes, self.frame, self.answers)

    @cached_property
    def calibration(self) -> pd.DataFrame:
        """Every judge set right by the humans (PPI++), one row a judge and model. Columns rater, model, baseline; judge,
        judge_low, judge_high, judge_n (the judge alone); human, human_low, human_high, human_n (humans alone); calibrated,
        low, high, n (prompts with both); correlation, narrower (share of the humans' interval saved), more_votes (for an
        interval 10 points wide; missing if out of reach), note."""
        return calibration(self.votes, self.baseline)

    @cached_property
    def sources(self) -> Sources:
        """Humans and judges in one model, as `sources` fits it: its tables win_rates, raters and severity. Raises ReportError
        when no vote is scored or the baseline has none."""
        return sources(
            self.votes, self.frame, self.answers, baseline=self.baseline, calibrated=self.calibration
        )

    @cached_property
    def learned_weights(self) -> Learned:
        """Weights of the dimensions that overall votes teach, as `learned_weights` finds them: its table (dimension, weight, low,
        high, equal), or in note why there are none."""
        return learned_weights(self.ratings, self.votes)

    def score_table(self, rater: str) -> pd.DataFrame:
        """Mean scores 1 to 5 of one rater (or "human:*"), models x dimensions, NaN where there are none: what `ranking`,
        `rank_probabilities` and `smallest_swap` take."""
        return score_table(self.ratings, rater)

    def answer(self, prompt_id: str, model: str) -> Any:
        """The row of a model's answer to a prompt; None where it is not known."""
        return self._answers.get((prompt_id, model))

    def ratings_of(self, prompt_id: str) -> list[Any]:
        """Every rating of a prompt, canaries too, oldest first."""
        places = self._rated.get(prompt_id)
        return [] if places is None else list(self.frame.iloc[places].itertuples())

    def votes_of(self, prompt_id: str) -> list[Any]:
        """Every vote on a prompt."""
        places = self._voted.get(prompt_id)
        return [] if places is None else list(self.votes.iloc[places].itertuples())

    @cached_property
    def _answers(self) -> dict[tuple[str, str], Any]:
        return {(row.prompt_id, row.model): row for row in self.answers.itertuples()}

    @cached_property
    def _rated(self) -> dict[str, Any]:
        return self.frame.groupby("prompt_id").indices if len(self.frame) else {}

    @cached_property
    def _voted(self) -> dict[str, Any]:
        return self.votes.groupby("prompt_id").indices if len(self.votes) else {}

    @property
    def beaten(self) -> set[str]:
        """The judges in `alarms`: their verdicts are in no headline while there are others."""
        raters = map(str, self.votes["rater"].unique())
        return {
            rater
            for rater in raters
            if any(line.startswith(f"{rater} can be fooled:") for line in self.alarms)
        }

    @property
    def leader(self) -> Any:
        """The row of win_rates in the headline: the best model by the rater with the most votes; None when none has any."""
        rows = words.by_support(self.win_rates, self.beaten)
        return next((row for row in rows.itertuples() if row.n), None)

    @property
    def headlines(self) -> list[str]:
        """One plain sentence a rater and model, the best supported first."""
        return words.headlines(self.win_rates, self.beaten) or [words.NOTHING]

    @property
    def headline(self) -> str:
        """The best supported result in plain words, with its uncertainty and who says so."""
        return self.headlines[0]

    def table(self) -> str:
        """The whole report as text for a terminal."""
        parts = ["\n".join(map(words.visible, [*self.alarms, *self.headlines]))]
        for title, about, columns, rows in words.sections(self):
            parts.append(f"{title}\n{words.visible(about)}\n\n{words.text_table(columns, rows)}")
        return "\n\n".join(parts)

    __str__ = table

    def __repr__(self) -> str:
        votes, raters = len(self.votes), self.votes["rater"].nunique()
        counts = f"{votes} {words.count(votes, 'vote', 'votes')} of {raters} {words.count(raters, 'rater', 'raters')}"
        return f"Report({counts}: {words.visible(self.headline)})"

    def figure(self) -> go.Figure:
        """Win rates with intervals, overall and by task, as a plotly figure."""
        from sftkit.report.figures import win_rate_figure

        return win_rate_figure(self)

    def png(self, path: str | Path, figure: str = "win_rates", dpi: int = 200) -> Path:
        """A picture drawn by matplotlib (no browser needed), `dpi` dots an inch. figure: "win_rates", "pairs", "scores",
        "calibration". Returns the path; ReportError for an unknown figure."""
        from sftkit.report.figures import save

        return save(self, Path(path), figure, "png", dpi)

    def svg(self, path: str | Path, figure: str = "win_rates") -> Path:
        """The picture of `png` as SVG, for a paper; its text stays text."""
        from sftkit.report.figures import save

        return save(self, Path(path), figure, "svg")

    def to_latex(self, table: str = "win_rates") -> str:
        """A table for a paper (booktabs), every text escaped; its caption names method and source. ReportError: unknown."""
        from sftkit.report.export import latex

        return latex(self, table)

    def to_csv(self, folder: str | Path) -> list[Path]:
        """Every table that has rows as FOLDER/NAME.csv, figures unrounded, with methods.csv beside them. Returns the paths."""
        from sftkit.report.export import csv

        return csv(self, Path(folder))

    def to_html(self, path: str | Path, lang: str = "en") -> Path:
        """One self-contained file that opens offline, in "en" or "zh"; no scripts, every text escaped."""
        from sftkit.report.page import whole_page

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(whole_page(self, lang), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        from sftkit.report.page import fragment
        from sftkit.wording import language

        return fragment(self, language())
