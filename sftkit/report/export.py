"""Tables to take along: LaTeX for a paper, CSV for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.errors import ReportError
from sftkit.report.methods import METHODS

TABLES = [
    "win_rates", "by_task", "by_length", "length_controlled", "strengths", "pairs", "rankings", "by_dimension", "mean_scores",
    "agreement", "score_agreement", "reliability", "rater_cards", "bias_card", "calibration",
]  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet's formula begins
SHARES = {
    "win_rate",
    "agreement",
    "calibrated",
    "judge",
    "human",
    "without_ties",
    "consistency",
    "humans",
    "ties",
    "first",
}  # in per cent
WORDS = {"rater", "rater_x", "rater_y", "raters", "model", "against", "baseline", "task", "length", "dimension", "bias", "ranking", "without", "note", "prior", "algorithm"}  # fmt: skip
_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"\textless{}", ">": r"\textgreater{}"}  # fmt: skip


def csv(report: Any, folder: Path) -> list[Path]:
    """See Report.to_csv. What a spreadsheet would take for a formula begins with a quote mark."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in TABLES:
        table = getattr(report, name)
        if len(table):
            _harmless(table).to_csv(path := folder / f"{name}.csv", index=False)
            made.append(path)
    methods = pd.DataFrame([[name, *METHODS[name]] for name in TABLES], columns=["table", "method", "source"])
    methods.to_csv(path := folder / "methods.csv", index=False)
    return [*made, path]


def _harmless(table: pd.DataFrame) -> pd.DataFrame:
    def quoted(value: object) -> object:
        if not isinstance(value, str):
            return value
        value = value.replace("\r\n", "\n").replace(
            "\r", "\n"
        )  # pandas leaves \r unquoted: what follows would be a new row
        return f"'{value}" if value.startswith((*FORMULA, "\n")) else value

    table = table.rename(columns=quoted)  # a dimension's name may head a column
    return table.apply(lambda column: column if pd.api.types.is_numeric_dtype(column) else column.map(quoted))


def latex(report: Any, name: str) -> str:
    """See Report.to_latex."""
    if name not in TABLES:
        raise ReportError(f"no table {name!r}; tables: {', '.join(TABLES)}")
    table = getattr(report, name)
    if table.empty:
        raise ReportError(f"report.{name} has no rows yet, so there is no table to write")
    shown = _for_paper(table, report.baseline)
    numeric = [not isinstance(column, str) or column not in WORDS for column in shown]
    rows = [[tex(str(value)) for value in row] for row in shown.itertuples(index=False)]
    body = "\n".join(" & ".join(row) + r" \\" for row in rows)
    head = " & ".join(tex(column.replace("_", " ")) for column in shown)
    method, source = METHODS[name]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{tex(f'{method} Source: {source}. Shares in per cent; 95 % intervals in brackets.')}}}",
            rf"\label{{tab:{name.replace('_', '-')}}}",
            rf"\begin{{tabular}}{{{''.join('r' if n else 'l' for n in numeric)}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _for_paper(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """As text, every value and its interval in one column; a column that says the same everywhere is left out."""
    columns: dict[str, list[str]] = {}
    for name in table:
        low, high = (f"{name}_low", f"{name}_high") if f"{name}_low" in table else (None, None)
        following = list(table.columns)[table.columns.get_loc(name) + 1 :][:1]
        if low is None and following == ["low"]:
            low, high = "low", "high"
        if name.endswith(("low", "high")) and name not in ("rank_low", "rank_high"):
            continue
        texts = [_text(value, name) for value in table[name]]
        if low:
            texts = [f"{t} [{_text(a, name)}, {_text(b, name)}]" if t != "--" and not pd.isna(a) else t for t, a, b in zip(texts, table[low], table[high])]  # fmt: skip
        columns[name] = texts
    alike = {name for name in ("baseline", "note", "se", "prior") if len(set(columns.get(name, []))) == 1}
    return pd.DataFrame({name: texts for name, texts in columns.items() if name not in alike})


def _text(value: Any, column: str) -> str:
    if isinstance(value, list):
        return " > ".join(map(str, value))
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return "--"
    if isinstance(value, float):
        return f"{100 * value:.1f}" if column in SHARES else f"{value:.2f}"
    return str(value)


def tex(text: str) -> str:
    """Text in which nothing is a command to LaTeX; control characters are left out, lines become one."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return "".join(_ESCAPES.get(c, c) for c in text)
