"""The exam as a card for a notebook and as text: what to think of this judge, then the figures behind it.

All words are in WORDS; a widget in another language hands in its own. Whatever comes from outside (names of models,
reasons) is text, never markup.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.judging.exam_result import Exam

WORDS = {
    "exam.title": "Admission exam",
    "exam.passed": "Passed",
    "exam.failed": "Failed",
    "exam.unfinished": "Not finished",
    "exam.say_failed": "{rater} is right in only {accuracy}: a coin has 50 %, and a judge should have 60 % at least. Do not rely on its verdicts.",
    "exam.say_unsure": "It is right in {accuracy}; with so few pairs that is not surely above 60 %.",
    "exam.say_passed": "It is right in {accuracy}.",
    "exam.say_unfinished": "{missing} of {n} pairs are not judged yet: run the exam again to go on. What is there is not paid for twice.",
    "exam.say_first": "It leans to the answer shown first ({share}): keep both orders on.",
    "exam.say_last": "It leans to the answer shown last ({share} for the first): keep both orders on.",
    "exam.say_flips": "Its verdict changes with the order in {share} of the pairs; these count as undecided.",
    "exam.say_longer": "Where the longer answer is the worse one, it still picks it in {share}: read win rates with length control.",
    "exam.say_ties": "Of the pairs without a difference that matters it called {share} a tie: expect too few ties.",
    "exam.say_unscored": "{n} pairs got no verdict: {reasons}.",
    "exam.say_human": "It gives the verdict of your human votes in {share}.",
    "exam.say_own": "It lets models of its own maker win {points} points more often than humans do ({low} to {high}).",
    "exam.accuracy": "Right, where one answer is better",
    "exam.ties": "Ties, where the difference does not matter",
    "exam.consistency": "Same verdict in both orders",
    "exam.first": "Picks the answer shown first",
    "exam.longer": "Picks the longer answer where it is the worse",
    "exam.shorter": "Picks the shorter answer where it is the worse",
    "exam.human": "Same verdict as your human votes",
    "exam.own": "Prefers its own maker's models",
    "exam.nothing": "not measurable here",
    "exam.no_human": "no human votes in this store",
    "exam.no_own": "no human votes here on its maker's models against others",
    "exam.no_order": "only one order is asked",
    "exam.ideal": "should be",
    "exam.measure": "Measured",
    "exam.value": "Share",
    "exam.interval": "95 % interval",
    "exam.n": "of",
    "exam.by_dimension": "By dimension",
    "exam.by_trap": "By trap",
    "exam.wrong_pairs": "Pairs it got wrong ({n})",
    "exam.wrong": "wrong",
    "exam.tie": "tie",
    "exam.inconsistent": "orders disagree",
    "exam.unscored": "no verdict",
    "exam.facts": "{n} pairs, {calls} verdicts, answered by {served_by}",
    "exam.trap.none": "no trap",
    "exam.trap.length": "length",
    "exam.trap.position": "position (must tie)",
    "exam.trap.formatting": "formatting",
    "exam.trap.confident_error": "confident error",
    "exam.trap.over_refusal": "refusal of the harmless",
    "exam.trap.injection": "speaks to the judge",
    "exam.trap.sycophancy": "flattery",
    "exam.dimension.helpfulness": "helpfulness",
    "exam.dimension.honesty": "honesty",
    "exam.dimension.harmlessness": "harmlessness",
    "exam.dimension.instruction_following": "instruction following",
    "exam.dimension.content_accuracy": "content accuracy",
    "exam.dimension.safety": "safety",
}
FEW_TIES, MANY_UNSCORED, FLIPS = 0.5, 0.1, 0.75  # from here on it is worth a word

Finding = tuple[str, str, dict[str, Any]]
Say = Callable[..., str]


def findings(exam: Exam) -> list[Finding]:
    """(level, key of WORDS, values), the verdict first."""
    return [_verdict(exam), *_leanings(exam), *_others(exam)]


def _verdict(exam: Exam) -> Finding:
    values = {"rater": exam.rater, "accuracy": str(exam.accuracy)}
    if exam.passed is None:
        values = {"missing": exam.missing + (0 if exam.missing else exam.unscored), "n": len(exam.pairs)}
        return "warn", "exam.say_unfinished", values
    if not exam.passed:
        return "stop", "exam.say_failed", values
    sure = exam.accuracy.low >= 0.6
    return ("good", "exam.say_passed", values) if sure else ("warn", "exam.say_unsure", values)


def _leanings(exam: Exam) -> list[Finding]:
    found: list[Finding] = []
    if exam.first.n and not exam.first.low <= 0.5 <= exam.first.high:
        key = "exam.say_first" if exam.first.value > 0.5 else "exam.say_last"
        found.append(("warn", key, {"share": str(exam.first)}))
    if exam.consistency.n and exam.consistency.value < FLIPS:
        turned = 100 * (1 - exam.consistency.value)
        found.append(("warn", "exam.say_flips", {"share": f"{turned:.0f} %"}))
    # it errs towards length where it falls for the longer answer more often than for the shorter one
    if exam.longer.n and exam.shorter.n and exam.longer.low > exam.shorter.value:
        found.append(("warn", "exam.say_longer", {"share": str(exam.longer)}))
    return found


def _others(exam: Exam) -> list[Finding]:
    found: list[Finding] = []
    if exam.ties.n and exam.ties.value < FEW_TIES:
        found.append(("inform", "exam.say_ties", {"share": f"{100 * exam.ties.value:.0f} %"}))
    if exam.unscored:
        reasons = ", ".join(f"{kind} {count}" for kind, count in exam.reasons.items())
        level = "warn" if exam.unscored > MANY_UNSCORED * len(exam.pairs) else "inform"
        found.append((level, "exam.say_unscored", {"n": exam.unscored, "reasons": reasons}))
    if exam.human.n:
        found.append(("inform", "exam.say_human", {"share": str(exam.human)}))
    if exam.own is not None:
        points = {"points": exam.own.value, "low": exam.own.low, "high": exam.own.high}
        level = "warn" if exam.own.low > 0 else "inform"
        found.append((level, "exam.say_own", {name: f"{100 * p:+.0f}" for name, p in points.items()}))
    return found


def english(key: str, **values: Any) -> str:
    return WORDS[key].format_map(values) if values else WORDS[key]


def state(exam: Exam) -> str:
    return {True: "passed", False: "failed", None: "unfinished"}[exam.passed]


def rows(exam: Exam, say: Say = english) -> list[dict[str, Any]]:
    """The measures as words: name, value, interval, n, ideal, and why where there is none."""
    table = []
    absent = {"human": "exam.no_human", "own": "exam.no_own", "first": "exam.no_order", "consistency": "exam.no_order"}  # fmt: skip
    for name, value, low, high, n, ideal in exam.measures.itertuples(index=False, name=None):
        row = {
            "name": say(f"exam.{name}"),
            "key": name,
            "n": n,
            "ideal": _percent(ideal, signed=name == "own"),
        }
        if n:
            row |= {"value": _percent(value, signed=name == "own"), "share": value}
            row["interval"] = " … ".join(_percent(end, signed=name == "own") for end in (low, high))
        else:
            why = say(absent[name]) if name in absent else ""
            row |= {"value": "–", "interval": why or say("exam.nothing"), "share": None}
        table.append(row)
    return table


def _percent(value: float, signed: bool = False) -> str:
    return f"{100 * value:+.0f}" if signed and value else f"{100 * value:.0f} %"


def groups(table: pd.DataFrame, say: Say = english) -> list[dict[str, Any]]:
    """by_dimension or by_trap as words."""
    kind = table.columns[0]
    return [
        {
            "name": say(f"exam.{kind}.{name}") if f"exam.{kind}.{name}" in WORDS else name,
            "value": "–" if math.isnan(value) else _percent(value),
            "share": None if math.isnan(value) else value,
            "interval": "" if math.isnan(value) else f"{_percent(low)} … {_percent(high)}",
            "n": n,
        }
        for name, value, low, high, n, _wrong in table.itertuples(index=False, name=None)
    ]


def as_text(exam: Exam, say: Say = english) -> str:
    """For a terminal."""
    from sftkit.ratings.tables import storable

    lines = [f"{say('exam.title')}: {exam.rater}: {say(f'exam.{state(exam)}')}"]
    lines += ["  " + say(key, **values) for _, key, values in findings(exam)]
    wide = max(len(row["name"]) for row in rows(exam, say))
    for row in rows(exam, say):
        count = f"  n = {row['n']}" if row["n"] else ""
        lines.append(f"  {row['name']:{wide}}  {row['value']:>5}  {row['interval']}{count}")
    for title, table in (("exam.by_dimension", exam.by_dimension), ("exam.by_trap", exam.by_trap)):
        lines += [f"  {say(title)}:"]
        lines += [f"    {g['name']:{wide - 2}}  {g['value']:>5}  n = {g['n']}" for g in groups(table, say)]
    return storable("\n".join("".join(c if c.isprintable() else "�" for c in line) for line in lines))


def as_html(exam: Exam, say: Say = english) -> str:
    """For a notebook; its colours are JupyterLab's, and plain ones elsewhere."""
    wrong = exam.pairs[exam.pairs["said"].isin(["wrong", "tie", "inconsistent", "unscored"])]
    wrong = wrong[~(wrong["tie"] & (wrong["said"] == "right"))]
    return _TEMPLATE.render(
        exam=exam,
        say=say,
        state=state(exam),
        findings=[(level, say(key, **values)) for level, key, values in findings(exam)],
        rows=rows(exam, say),
        parts=[
            (say("exam.by_dimension"), groups(exam.by_dimension, say)),
            (say("exam.by_trap"), groups(exam.by_trap, say)),
        ],
        facts=say("exam.facts", n=len(exam.pairs) - exam.missing, calls=len(exam.calls), served_by=", ".join(exam.served_by) or "–"),
        wrong=wrong.to_dict("records"),
    )  # fmt: skip


_TEMPLATE = jinja2.Environment(
    undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
).from_string("""\
<style>
.sft-exam { --line: var(--jp-border-color2, #d8dee4); --quiet: var(--jp-ui-font-color2, #57606a);
  --good: #2e7d32; --warn: #a15c00; --stop: #c62828; max-width: 860px; padding: 10px 14px; box-sizing: border-box;
  border: 1px solid var(--line); border-left: 5px solid var(--tone); border-radius: 5px; line-height: 1.45; font-size: 13px;
  color: var(--jp-ui-font-color1, #1f2328); overflow-wrap: anywhere; }
[data-jp-theme-light="false"] .sft-exam { --good: #81c784; --warn: #f0b45a; --stop: #ff8a80; }
.sft-exam-passed { --tone: var(--good); } .sft-exam-unfinished { --tone: var(--warn); }
.sft-exam-failed { --tone: var(--stop); background: color-mix(in srgb, var(--stop) 12%, transparent); }
.sft-exam h4 { margin: 0 0 4px; font-size: 15px; } .sft-exam h4 b { white-space: normal; color: var(--tone); }
.sft-exam ul { margin: 0 0 8px; padding-left: 18px; }
.sft-exam .stop { color: var(--stop); font-weight: 600; } .sft-exam .warn { color: var(--warn); } .sft-exam .good { color: var(--good); }
.sft-exam .quiet { color: var(--quiet); font-size: 12px; }
.sft-exam table { border-collapse: collapse; font-size: 12.5px; margin: 0 0 8px; width: 100%; font-variant-numeric: tabular-nums; }
.sft-exam :is(th, td) { text-align: left !important; padding: 2px 10px 2px 0; border: none; background: none; vertical-align: top; }
.sft-exam th { font-weight: 600; color: var(--quiet); white-space: nowrap; }
.sft-exam tr { border-bottom: 1px solid var(--line); background: none !important; }
.sft-exam .two { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 0 24px; align-items: start; }
.sft-exam b, .sft-exam .n { white-space: nowrap; }
.sft-exam .bar { width: 110px; } .sft-exam .bar div { height: 7px; border-radius: 4px; background: var(--line); overflow: hidden; margin-top: 6px; }
.sft-exam .bar i { display: block; height: 100%; background: var(--jp-brand-color1, #1976d2); }
.sft-exam summary { cursor: pointer; }
</style>
<div class="sft-exam sft-exam-{{ state }}">
<h4>{{ say("exam.title") }}: {{ exam.rater }} · <b>{{ say("exam." ~ state) }}</b></h4>
<ul>{% for level, words in findings %}<li class="{{ level }}">{{ words }}</li>{% endfor %}</ul>
<table><thead><tr>{% for key in ("measure", "value", "ideal", "interval", "n") %}<th>{{ say("exam." ~ key) }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr><td>{{ row.name }}</td><td><b>{{ row.value }}</b></td><td class="quiet">{{ row.ideal }}</td>
<td>{{ row.interval }}</td><td class="n">{{ row.n or "" }}</td></tr>{% endfor %}</tbody></table>
<div class="two">{% for title, groups in parts %}<table><thead><tr><th colspan="4">{{ title }}</th></tr></thead><tbody>
{% for g in groups %}<tr><td>{{ g.name }}</td><td class="bar"><div>{% if g.share is not none %}<i style="width: {{ "%.0f" % (100 * g.share) }}%"></i>{% endif %}</div></td>
<td title="{{ g.interval }}"><b>{{ g.value }}</b></td><td class="quiet">{{ g.n }}</td></tr>{% endfor %}</tbody></table>{% endfor %}</div>
{% if wrong %}<details><summary>{{ say("exam.wrong_pairs", n=wrong|length) }}</summary><table><tbody>
{% for pair in wrong %}<tr><td>{{ pair.id }}</td><td>{{ say("exam." ~ pair.said) }}</td><td class="quiet">{{ pair.reason or pair.why }}</td></tr>{% endfor %}
</tbody></table></details>{% endif %}
<div class="quiet">{{ facts }}</div>
</div>
""")
