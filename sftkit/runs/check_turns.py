"""Preflight checks of conversations and of what the template and the tokenizer make of them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from sftkit.data import Encoded, Example
from sftkit.data.shaping import Message
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.runs.sources import Split
from sftkit.wording import say

SOME = 500  # rows whose text is searched for signs of a wrong encoding
MANY_WRONG = 0.01  # share of rows with such signs that is worth a word: one row may well speak of `&amp;`

# UTF-8 read as Latin-1 or Windows-1252: `Ã©` for é, `â€™` for ’, `ä¸­` for 中.
_MOJIBAKE = re.compile(r"[ÃÂ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|ï¿½")  # fmt: skip
_HAN = re.compile(r"(?:[äåæçèé][\x80-\xbf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]{2}){2}")  # twice: « arrivé » is French
_NEWLINE, _CODE = re.compile(r"\\n"), re.compile(r"\\u[0-9a-fA-F]{4}")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-fA-F]{2,5});")


@check("tokenizer")
def roles_are_in_order(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        wrong = [(example, what) for example in split.examples if (what := _disorder(example.messages))]
        if wrong:
            example, what = wrong[0]
            yield Finding("warn", field, say("{count} have messages out of order, {row} for one: {what}. A model learns to answer as it is asked: system, then user and assistant in turn.", count=_count(wrong, split), row=split.name_of(example), what=what))  # fmt: skip


def _disorder(messages: list[Message]) -> str:
    """What is out of order in a conversation; empty where nothing is."""
    roles = [message["role"] for message in messages]
    if roles == ["user", "assistant"]:  # nearly always
        return ""
    if "system" in roles[1:]:
        return say("message {n} is a system message", n=roles.index("system", 1) + 1)
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if talk[:1] == ["assistant"]:
        return say("the assistant speaks first")
    for place, (before, after) in enumerate(pairwise(roles), start=2):
        if before == after:
            return say(
                "messages {first} and {second} are both the {role}'s",
                first=place - 1,
                second=place,
                role=before,
            )
    return ""


@check("tokenizer")
def the_assistant_speaks_last(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        wrong = [example for example in split.examples if example.messages[-1]["role"] != "assistant"]
        if wrong:
            idle = [example for example in wrong if all(turn["role"] != "assistant" for turn in example.messages)]  # fmt: skip
            effect = say("what follows the last answer trains nothing") if len(idle) < len(wrong) else say("without an answer they train nothing")  # fmt: skip
            yield Finding("warn", field, say("{count} do not end with the assistant's turn, {row} for one: {effect}.", count=_count(wrong, split), row=split.name_of(wrong[0]), effect=effect))  # fmt: skip


def _count(wrong: list, split: Split) -> str:
    total = len(split.examples)
    words = say("{n} of {total} rows", n=len(wrong), total=total)
    return words if split.whole else say("{count} at the beginning", count=words)


@check("tokenizer")
def the_template_keeps_the_text(look: Look) -> Iterator[Finding]:
    """Templates drop what they do not know: a second system message, an old answer's thoughts."""
    eaten = []
    for example, row in look.seen:
        if row.truncated or row.dropped_turns:
            continue
        missing = [turn for turn in example.messages if _bare(turn["content"]) not in _bare(row.text)]
        if missing:
            eaten.append((example, missing[0]))
    if eaten:
        example, turn = eaten[0]
        fix, label = _plain(look)
        field = next((name for name in ("chat_template", "apply_chat_template", "input_template") if getattr(look.config, name)), "pretrain")  # fmt: skip
        yield Finding("warn", field, say("The template leaves text out: {eaten} of {seen} rows looked at, {row} for one, lose words of a {role} message (“{text}”).", eaten=len(eaten), seen=len(look.seen), row=look.train.name_of(example), role=turn['role'], text=_start(turn['content'])), fix, label)  # fmt: skip


def _bare(text: str) -> str:
    """A text without its blanks, which templates and tokenizers may change."""
    return "".join(text.split())


def _start(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 40 else words[:40] + "…"


def _plain(look: Look) -> tuple[dict[str, object], str]:
    """The project's plain template, where another one is used."""
    names = ("chat_template", "apply_chat_template", "input_template")
    if not any(getattr(look.config, name) for name in names):
        return {}, ""
    return {"chat_template": None, "apply_chat_template": False, "input_template": None}, say("Use the plain template")  # fmt: skip


@check("tokenizer")
def answers_are_trained_whole(look: Look) -> Iterator[Finding]:
    """From the first token of the answer to the token that ends it."""
    ends = _end_tokens(look)
    headless, endless = [], []
    for example, row in look.seen:
        if row.truncated or row.dropped_turns or not row.loss_mask.any():
            continue
        if example.messages[-1]["role"] != "assistant" or not (said := _bare(example.messages[-1]["content"])):  # fmt: skip
            continue
        trained = _last_run(row)
        if said in _bare(row.text) and said not in _bare(trained):
            headless.append(example)
        if ends and row.input_ids[np.flatnonzero(row.loss_mask)[-1]] not in ends:
            endless.append(example)
    of = say("of {n} rows looked at", n=len(look.seen))
    fix, label = _plain(look)
    if headless:
        yield Finding("warn", "pretrain", say("In {headless} {of} ({row} for one) the first token of the answer is not trained: the tokenizer joins it to what stands before it.", headless=len(headless), of=of, row=look.train.name_of(headless[0])), fix, label)  # fmt: skip
    if endless:
        yield Finding("warn", "pretrain", say("In {endless} {of} ({row} for one) no end token is trained: the model will not learn to stop there.", endless=len(endless), of=of, row=look.train.name_of(endless[0])), fix, label)  # fmt: skip


def _last_run(row: Encoded) -> str:
    """The text of the last unbroken run of trained tokens."""
    trained = np.flatnonzero(row.loss_mask)
    breaks = np.flatnonzero(np.diff(trained) > 1)
    first = trained[breaks[-1] + 1] if len(breaks) else trained[0]
    return "".join(row.tokens[first : trained[-1] + 1])


def _end_tokens(look: Look) -> set[int]:
    """Every token that generation may stop at: the tokenizer's marks, but for a BOS that is nothing else."""
    if not look.seen:
        return set()
    vocabulary = look.vocabulary
    begins = {vocabulary.bos} - {vocabulary.eos}
    return {number for mark in vocabulary.marks() if mark not in begins and (number := vocabulary.id(mark)) is not None}  # fmt: skip


@check("tokenizer")
def bos_stands_once(look: Look) -> Iterator[Finding]:
    if not look.seen:
        return
    vocabulary = look.vocabulary
    bos = vocabulary.id(vocabulary.bos)
    if bos is None:
        return
    counts = [(example, _leading(row.input_ids, bos)) for example, row in look.seen if len(row.input_ids)]
    twice = [example for example, count in counts if count > 1]
    never = [example for example, count in counts if count == 0] if vocabulary.adds_bos else []
    of = say("of {n} rows looked at", n=len(counts))
    fix, label = _plain(look)
    if twice:
        yield Finding("warn", "pretrain", say("{twice} {of} ({row} for one) begin with {bos} twice: the template writes it, and so does the text or the template again.", twice=len(twice), of=of, row=look.train.name_of(twice[0]), bos=vocabulary.bos), fix, label)  # fmt: skip
    if never:
        yield Finding("warn", "pretrain", say("{never} {of} ({row} for one) begin without {bos}, which this model was trained with.", never=len(never), of=of, row=look.train.name_of(never[0]), bos=vocabulary.bos), fix, label)  # fmt: skip


def _leading(ids: np.ndarray, token: int) -> int:
    """How many times `token` stands at the beginning."""
    return next((place for place, number in enumerate(ids.tolist()) if number != token), len(ids))


@check("tokenizer")
def tokens_fit_the_model(look: Look) -> Iterator[Finding]:
    if not look.shape or not look.seen:
        return
    size = look.shape.vocabulary
    largest = [(int(row.input_ids.max(initial=0)), example) for example, row in look.seen]
    token, example = max(largest, key=lambda pair: pair[0])
    if token >= size:
        yield Finding("stop", "pretrain", say("{row} has token {token}, and the model knows only {size}: tokenizer and weights are of different models.", row=look.train.name_of(example), token=token, size=size))  # fmt: skip
        return
    there = look.vocabulary.tokenizer.get_vocab_size(with_added_tokens=True)
    if there > size:
        yield Finding("warn", "pretrain", say("The tokenizer has {there} tokens and the model {size}: a row with one of the others would end the run.", there=there, size=size))  # fmt: skip


@check("tokenizer")
def text_is_decoded(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        rows = split.examples[:SOME]
        for what, how, shows in SIGNS:
            wrong = [(example, sign) for example in rows if (sign := shows(example))]
            if wrong and len(wrong) > MANY_WRONG * len(rows):
                example, sign = wrong[0]
                yield Finding("warn", field, say("{wrong} of {rows} rows hold {what} ({row}: “{text}”); {how}.", wrong=len(wrong), rows=len(rows), what=what, row=split.name_of(example), text=_start(sign), how=how))  # fmt: skip


def _in_text(pattern: re.Pattern[str]) -> Callable[[Example], str]:
    """Shows what of a row's messages fits the pattern, with a little of what follows."""

    def shows(example: Example) -> str:
        for turn in example.messages:
            if found := pattern.search(turn["content"]):
                return turn["content"][found.start() : found.end() + 20]
        return ""

    return shows


def _escapes(example: Example) -> str:
    """Several `\\n` in a text without a line break (code has both), or several `\\u4f60`."""
    for turn in example.messages:
        text = turn["content"]
        for pattern in (_NEWLINE, _CODE):
            found = list(pattern.finditer(text)) if "\\" in text else []
            if len(found) > 1 and (pattern is _CODE or "\n" not in text):
                return text[max(0, found[0].start() - 10) : found[0].end() + 20]
    return ""


def _json_text(example: Example) -> str:
    """A message that is wholly a JSON string or a list of messages: it was written once too often."""
    for turn in example.messages:
        text = turn["content"].strip()
        if text[:1] + text[-1:] == '""' or (text[:2] == "[{" and '"role"' in text):
            try:
                json.loads(text)
            except ValueError:
                continue
            return text
    return ""


def _entities(example: Example) -> str:
    shown = _in_text(_ENTITY)(example)
    return shown if shown and html.unescape(shown) != shown else ""


SIGNS: tuple[tuple[str, str, Callable[[Example], str]], ...] = (
    (say("UTF-8 that was read as Latin-1"), say("write the file anew with encoding='utf-8'"), lambda example: _in_text(_MOJIBAKE)(example) or _in_text(_HAN)(example)),
    (say("escapes as text"), say("decode the strings once more (json.loads) before writing them"), _escapes),
    (say("HTML entities"), say("html.unescape gives the characters"), _entities),
    (say("JSON in a string"), say("it was encoded twice: json.loads it before writing the row"), _json_text),
)  # fmt: skip
