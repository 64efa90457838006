"""Match, leaks, eval set and mix as HTML for a notebook cell or a form: no scripts, every text of the data escaped."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from sftkit.wording import in_language, listed, say

if TYPE_CHECKING:
    from sftkit.data.lens.eval_set import EvalSet
    from sftkit.data.lens.leak import Leaks
    from sftkit.data.lens.match import Match
    from sftkit.data.lens.mix import Mix

STYLE = """<style>
.sftkit-split { font: 14px/1.45 system-ui, sans-serif; color: var(--jp-content-font-color1, inherit); max-width: 1100px; }
.sftkit-split h3 { font-size: 1em; font-weight: 600; margin: 1.2em 0 .3em; }
.sftkit-split p { margin: .3em 0; overflow-wrap: anywhere; }
.sftkit-split .wide { overflow-x: auto; }
.sftkit-split table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 0; }
.sftkit-split th, .sftkit-split td { text-align: left !important; vertical-align: top; padding: .25em .9em .25em 0; border: 0; border-bottom: 1px solid #8883; background: none; unicode-bidi: isolate; overflow-wrap: anywhere; }
.sftkit-split th { font-weight: 600; white-space: nowrap; }
.sftkit-split .wide + .wide { margin-top: 1em; }
.sftkit-split .number { text-align: right !important; white-space: nowrap; }
.sftkit-split .differs, .sftkit-split .missing { color: var(--jp-error-color0, #d33); font-weight: 600; }
.sftkit-split .little, .sftkit-split .thin, .sftkit-split .few, .sftkit-split .new { color: var(--jp-warn-color0, #b36b00); font-weight: 600; }
.sftkit-split .alike, .sftkit-split .there { color: var(--jp-success-color0, #2a7d2a); font-weight: 600; }
.sftkit-split tr > .level, .sftkit-split tr > .name { white-space: nowrap; }
.sftkit-split .about { opacity: .8; }
.sftkit-split .texts { table-layout: fixed; width: 100%; }
.sftkit-split .texts td { white-space: pre-wrap; width: 50%; }
.sftkit-split mark { background: #e6a70055; color: inherit; }
.sftkit-split .bars { display: grid; grid-template-columns: max-content minmax(6em, 28em) max-content; gap: .15em .8em; align-items: center; }
.sftkit-split .bars i { display: block; height: .7em; background: #4c78a8; min-width: 1px; border-radius: 2px; }
.sftkit-split .bars .asked { background: #9aa5b1; } .sftkit-split .bars .tokens { background: #e45756; }
</style>"""
LEVELS = {
    "alike": say("alike"),
    "little": say("a little apart"),
    "differs": say("not alike"),
    "few": say("too few rows"),
    "missing": say("missing"),
    "thin": say("thin"),
    "new": say("not trained"),
    "there": "",
}
KINDS = {
    "exact": say("the same row"),
    "near": say("nearly the same"),
    "same_prompt": say("same question, another answer"),
    "paraphrase": say("the same in other words"),
}
SHOWN = 1500  # characters of a text
_WORDS = re.compile(r"\s+|[㐀-鿿]|[^\W㐀-鿿]+|[^\w\s]")


def match_html(match: Match, lang: str, *, inside: bool = False) -> str:
    """Traits with their verdicts, task types with their rows."""
    traits = [(("name", one.name), f"{one.distance:.3f}", f"{one.noise:.3f}", (f"level {one.level}", LEVELS[one.level]), one.verdict) for one in match.found]  # fmt: skip
    tasks = [(name, f"{a:,}", f"{share:.1%}", f"{b:,}", f"{other:.1%}", (f"level {state}", LEVELS[state])) for name, a, share, b, other, state in match.tasks.itertuples(index=False)]  # fmt: skip
    parts = [
        _head(say("Eval rows against training rows"), lang),
        _table(
            [say("trait"), say("distance"), say("by chance"), "", say("verdict")],
            traits,
            lang,
            numbers=(1, 2),
        ),
        *_sentences(
            [say("Task types are {how}, not given by the data.", how=match.guessed)] if match.guessed else [],
            lang,
        ),
    ]
    if tasks:
        heads = [say("task type"), say("train rows"), say("share"), say("eval rows"), say("share"), ""]
        parts.append(_table(heads, tasks, lang, numbers=(1, 2, 3, 4)))
    return _whole(parts, inside)


def leaks_html(leaks: Leaks, lang: str, most: int, *, inside: bool = False) -> str:
    """The verdict, and pairs side by side with what differs marked."""
    parts = [_head(say("Eval rows in the training data"), lang), *_sentences([leaks.verdict], lang)]
    rows = []
    for pair in leaks.ranked[:most]:
        train, evals = leaks.train.items[pair.train], leaks.evals.items[pair.eval]
        told = say("{kind}, {similarity:.0%}", kind=KINDS[pair.kind], similarity=pair.similarity)
        heads = (f"{train.source} {train.row:,}", f"{evals.source} {evals.row:,} · {in_language(told, lang)}")
        rows.append("<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>")
        rows.append(
            "<tr>" + "".join(f"<td>{text}</td>" for text in _marked(train.text, evals.text)) + "</tr>"
        )
    if rows:
        parts.append(f'<table class="texts">{"".join(rows)}</table>')
    if len(leaks.ranked) > most:
        parts += _sentences([say("and {n:,} more pairs", n=len(leaks.ranked) - most)], lang, "about")
    return _whole(parts, inside)


def eval_set_html(made: EvalSet, lang: str) -> str:
    """Strata, notes, match and leaks of an eval set."""
    heads = [say("stratum"), say("rows"), say("unlike others"), say("wanted"), say("taken"), say("by length"), say("left to train")]  # fmt: skip
    taken = dict(zip(zip(made.strata["stratum"], made.strata["band"]), made.strata["taken"]))
    rows = []
    for name, count, unlike, wanted, got, left in made.by_stratum.itertuples(index=False):
        inside = listed([say("{n:,} {band}", n=taken.get((name, band), 0), band=words) for band, words in BANDS.items()])  # fmt: skip
        rows.append(
            (
                name or say("all rows"),
                f"{count:,}",
                f"{unlike:,}",
                f"{wanted:,}",
                f"{got:,}",
                inside,
                f"{left:,}",
            )
        )
    head = say("{n:,} eval rows out of {total:,}, seed {seed}", n=len(made), total=len(made) + len(made.rest), seed=made.wanted.seed)  # fmt: skip
    parts = [
        _head(head, lang),
        *_sentences(made.notes, lang),
        _table(heads, rows, lang, numbers=(1, 2, 3, 4, 6)),
        match_html(made.report, lang, inside=True),
        leaks_html(made.leaks, lang, 20, inside=True),
    ]
    return _whole(parts)


def mix_html(mix: Mix, lang: str) -> str:
    """Sources with their rows, tokens and epochs, and bars of their shares."""
    unit = say("tokens") if mix.counted else say("characters")
    heads = [say("source"), say("rows in it"), say("used"), say("left out"), say("share asked"), say("share of rows"), unit, say("share of {unit}", unit=unit), say("share of answers"), say("epochs")]  # fmt: skip
    about = "≈ " if mix.estimated else ""
    rows = [
        (one.source, f"{one.rows:,}", f"{one.used:,}", one.lost, "–" if one.asked is None else f"{one.asked:.1%}", f"{one.share_rows:.1%}",
         f"{about}{one.tokens:,.0f}", f"{one.share_tokens:.1%}", f"{one.share_trained:.1%}", f"{one.epochs:.2f}")
        for one in mix.found
    ]  # fmt: skip
    bars = []
    for one in mix.found:
        bars.append(f"<b>{escape(one.source)}</b><span></span><span></span>")
        asked = [("asked", say("asked for"), one.asked)] if one.asked is not None else []
        for kind, words, share in (*asked, ("rows", say("of rows"), one.share_rows), ("tokens", say("of {unit}", unit=unit), one.share_tokens)):  # fmt: skip
            bars.append(f'<span class="about">{_said(words, lang)}</span><i class="{kind}" style="width: {100 * share:.2f}%"></i><span class="number">{share:.1%}</span>')  # fmt: skip
    parts = [
        _head(say("What training draws from each source"), lang),
        _table(heads, rows, lang, numbers=(1, 2, 4, 5, 6, 7, 8, 9)),
        *_sentences(mix.notes, lang),
        f'<div class="bars">{"".join(bars)}</div>',
    ]
    return _whole(parts)


BANDS = {"short": say("short"), "middle": say("middle"), "long": say("long")}


def _marked(train: str, evals: str) -> tuple[str, str]:
    """Two texts as HTML, what the other one lacks marked."""
    one, other = (_WORDS.findall(text[:SHOWN]) for text in (train, evals))
    shown: tuple[list[str], list[str]] = ([], [])
    for how, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for side, part in zip(shown, (one[a:b], other[c:d])):
            text = escape("".join(part))
            side.append(text if how == "equal" or not text else f"<mark>{text}</mark>")
    cut = ["…" if len(text) > SHOWN else "" for text in (train, evals)]
    return "".join(shown[0]) + cut[0], "".join(shown[1]) + cut[1]


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[Any]], lang: str, numbers: Iterable[int] = ()
) -> str:
    """Cells are texts, or (class, text)."""
    right = set(numbers)

    def cell(place: int, value: Any) -> str:
        kind, text = value if isinstance(value, tuple) else ("number" if place in right else "", value)
        return f'<td class="{kind}">{_said(text, lang)}</td>'

    top = "".join(f'<th class="{"number" if place in right else ""}">{_said(head, lang)}</th>' for place, head in enumerate(heads))  # fmt: skip
    body = "".join("<tr>" + "".join(cell(place, value) for place, value in enumerate(row)) + "</tr>" for row in rows)  # fmt: skip
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _head(words: str, lang: str) -> str:
    return f"<h3>{_said(words, lang)}</h3>"


def _sentences(said: Iterable[str], lang: str, kind: str = "") -> list[str]:
    return [f'<p class="{kind}">{_said(words, lang)}</p>' for words in said]


def _said(words: str, lang: str) -> str:
    return escape(in_language(words, lang))


def _whole(parts: Iterable[str], inside: bool = False) -> str:
    text = "".join(parts)
    return text if inside else f'{STYLE}<div class="sftkit-split">{text}</div>'
