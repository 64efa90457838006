"""The sentences of the statistics in other languages.

A note travels through DataFrames as plain text; here it is known again by its form, so that a page can say it in Chinese. A
sentence that is not known stays as it is.
"""

from __future__ import annotations

import re
from functools import cache

from sftkit.wording import as_it_is, say

# The values are only there to be replaced: what counts is the form.
FORMS = (
    say("one prompt: its spread is not known"),
    say("it does not vary within any pair of models"),
    say("not a model of a known family"),
    say("no model of the family {own} against another", own=""),
    say("no human vote on the same comparisons"),
    say("no comparison was seen in both orders"),
    say("no canaries were judged"),
    say("canaries are in no ranking"),
    say("too few prompts for an interval"),
    say("length control needs len_a and len_b of every scored vote: register the answers in the store, or give votes with these columns"),
    say("lengths do not overlap: {why}", why=""),
    say("the order was not kept"),
    say("the answers are not known"),
    say("all answers are as long as the other"),
    say("held back by the gate: {what}", what=""),
    say("no scores on {dimensions}", dimensions=""),
    say("{who} human scores: calibration needs two or more", who=""),
    say("{n} with a verdict of humans and judge: calibration needs two or more", n=""),
    say("The interval is {now} points wide: no more votes are needed for {points} points.", now="", points=""),
    say("About {n} more human votes make the interval {points} points wide (now {now}); without the judge it would take {alone} in all.", n="", points="", now="", alone=""),
    say("{n} human votes so far: give five or more to judge the spread by.", n=""),
    say("Even with a human vote on all {n} judged prompts the interval would be {points} points wide: judge more prompts.", n="", points=""),
    say("{other} draws level with {leader} when {moved} % of the weight moves: {told}.", other="", leader="", moved="", told=""),
    say("No weights do it: {leader} is ahead of {other} on every dimension.", leader="", other=""),
    say("the two have equal scores already"),
    say("the two share no scored dimension"),
    say("Learned from {n} votes: {told}. They foretell {own} % of the votes on other prompts, equal weights {equal} %: no better, as far as can be told, than equal weights.", n="", told="", own="", equal=""),
    say("Learned from {n} votes: {told}. They foretell {own} % of the votes on other prompts, equal weights {equal} %: better than equal weights.", n="", told="", own="", equal=""),
    say("{n} overall votes with scores: weights are learned from {enough} on. Equal weights stand.", n="", enough=""),
    say("To show a win rate of {rate} % against 50 % with a probability of {power} %: {prompts} prompts by humans alone; or {judged} prompts by the judge and human votes on {calibrated} of them.", rate="", power="", prompts="", judged="", calibrated=""),
    say("To show a win rate of {rate} % against 50 % with a probability of {power} %: {prompts} prompts by humans alone.", rate="", power="", prompts=""),
    say("To show a win rate of {rate} % against 50 % with a probability of {power} %: {prompts} prompts with {each} votes each ({votes} votes) by humans alone; or {judged} prompts by the judge and human votes on {calibrated} of them.", rate="", power="", prompts="", each="", votes="", judged="", calibrated=""),
    say("To show a win rate of {rate} % against 50 % with a probability of {power} %: {prompts} prompts with {each} votes each ({votes} votes) by humans alone.", rate="", power="", prompts="", each="", votes=""),
)  # fmt: skip


@cache
def _patterns() -> list[tuple[re.Pattern, str]]:
    """The form with the fewest open places first, so that the closest one fits."""
    made = []
    for form in sorted(FORMS, key=lambda form: len(form.values)):
        parts = re.split(r"\{(\w+)\}", form.template)
        pattern = "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        made.append((re.compile(pattern, re.DOTALL), form.template))
    return made


def said(text: str) -> str:
    """A sentence made elsewhere, in whatever language it can be said in."""
    if hasattr(text, "template"):
        return text
    for pattern, template in _patterns():
        if found := pattern.fullmatch(str(text)):
            return say(template, **found.groupdict())
    return as_it_is(str(text))
