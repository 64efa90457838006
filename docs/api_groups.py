"""The chapters of the API reference, by what people do; each with an example of the whole chapter where one helps.

`names` belong to the chapter wherever they come from and stand first in it, in this order; of all others, those of the
modules in `homes` follow.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    title: str
    about: str
    homes: tuple[str, ...]
    names: tuple[str, ...] = ()
    example: str = ""

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


GROUPS = (
    Group(
        "Configure",
        "The settings of a run, and launch commands of other programs read into them.",
        ("sftkit.config", "sftkit.command"),
        ("SFTConfig", "translate", "Translation"),
    ),
    Group(
        "Preflight and launch",
        "What would go wrong, what it takes, and the start. A run is a process group of its own and outlives the kernel.",
        ("sftkit.runs",),
        (
            "machine",
            "Machine",
            "LaunchForm",
            "preflight",
            "Finding",
            "memory_table",
            "MemoryTable",
            "dry_run",
            "DryRun",
            "launch",
            "launch_all",
        ),
        """
form = sk.LaunchForm(config)
form                                            # in the notebook: edit, see faults, Dry run, Launch
""",
    ),
    Group(
        "Watch",
        "Runs that train or have trained, by their folders: states, curves, logs, stop, resume, copy, replay.",
        ("sftkit.runs.run", "sftkit.runs.replay", "sftkit.runs.listing"),
        ("load_run", "Run", "list_runs", "RunMonitor", "RunsTable", "LossCurves", "RunCard", "Replay"),
        """
sk.RunsTable("runs")                            # all runs, live
sk.RunMonitor(run)                              # one run: curve, progress, log, Stop and save
sk.LossCurves([run])                            # any number of runs over each other
sk.RunCard(run).to_html("card.html")            # all that the run was, on a page
""",
    ),
    Group(
        "Data",
        "What is in a data set, how the trainer sees its rows, and an eval set that is not in the training data.",
        ("sftkit.data",),
        (
            "tokenized",
            "TokenLens",
            "profile",
            "Profile",
            "DatasetView",
            "make_eval_set",
            "EvalSet",
            "EvalSetForm",
            "leaks",
            "Leaks",
            "match",
            "Match",
            "mix",
            "Mix",
        ),
        """
row = {"prompt": "Add 2 and 3.", "response": "5"}
seen = sk.tokenized(config, row)
list(zip(seen.tokens, seen.loss_mask))          # a token with 0 is masked: it gets no loss

found = sk.profile("data/train.jsonl", tokenizer="data/tiny-base")
found.exact_duplicates, found.tasks             # counts; found.findings says what to mend
found.rows_of("exact_duplicate", limit=5)       # and the rows behind a count

made = sk.make_eval_set("data/train.jsonl", 20, by="task", out="eval-set.jsonl")
made.leaks.exact                                # 0: what was drawn is held out of training
sk.leaks("data/train.jsonl", "data/eval.jsonl").pairs
sk.match("data/train.jsonl", "data/eval.jsonl").verdicts()
sk.mix(config).frame                            # what each source gives to the training

sk.TokenLens(run)                               # in the notebook: rows as the trainer sees them, the worst rows by loss
sk.DatasetView("data/train.jsonl", "data/tiny-base", profile=False)
sk.EvalSetForm("data/train.jsonl", size=20)
""",
    ),
    Group(
        "Generate",
        "Answers of several models to the same prompts, or answers from elsewhere.",
        ("sftkit.generation",),
        ("generate", "Generations"),
    ),
    Group(
        "Rate",
        "Verdicts of people, blind and side by side, and the one store that holds theirs and the judges'.",
        ("sftkit.ratings",),
        ("RatingStore", "Rating", "ComparisonGrid", "DIMENSIONS", "Dimension", "VERDICTS"),
    ),
    Group(
        "Judge",
        "Language models as raters over an OpenAI-compatible endpoint, their exam, and the offline rule that checks references.",
        ("sftkit.judging",),
        ("Judge", "Protocol", "JudgePanel", "exam", "Exam", "Panel", "ReferenceJudge"),
    ),
    Group(
        "Report",
        "Who won, how surely, and how far raters agree: pure functions of DataFrames of votes, and the report over them.",
        ("sftkit.report",),
        ("Report", "ReportView", "win_rate", "Estimate", "agreement"),
        """
report = sk.Report(store)
print(report.headline)                          # one plain sentence
report.win_rates                                # a DataFrame, as report.agreement, report.bias and the others
report.to_html("report.html")                   # one file that opens offline
sk.ReportView(store)                            # the same in the notebook, to look through

votes = store.votes()                           # or any DataFrame with these columns
estimate = sk.win_rate(votes, "tuned", baseline="base")
float(estimate), estimate.low, estimate.high    # 0..1, with a 95 % interval

from sftkit.report import bradley_terry, cohen_kappa, plan
bradley_terry(votes)
cohen_kappa([1, 0, 1, 1], [1, 0, 0, 1]).value
print(plan(5))                                  # what a difference of 5 points from 50 % takes
""",
    ),
    Group(
        "The notebook",
        "What holds for the whole session.",
        ("sftkit", "sftkit.widgets"),
    ),
    Group(
        "Errors",
        "All that sftkit raises on purpose, in one tree under `SftkitError`.",
        ("sftkit.errors",),
        ("SftkitError", "ConfigError", "FilterError"),
    ),
)
