"""The questions and their gold answers, task by task: each function yields candidate rows.

A row's `key` says what it asks, whatever the wording: no key stands both in train and in eval.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from . import tables as t
from . import tips
from .dice import Dice
from .facts import FACTS
from .stories import errands, trips


@dataclass(frozen=True)
class Row:
    prompt: str
    response: str
    task: str
    reference: str
    lang: str
    key: str


def facts(lang: str) -> list[Row]:
    return [
        Row(ask, fact.tells[0], "facts", fact.reference, lang, fact.key)
        for fact in FACTS
        if fact.lang == lang
        for ask in fact.asks
    ]


ADD = "What is {a} + {b}?|Add {a} and {b}.|How much is {a} plus {b}?|Calculate {a} + {b}.|{n} has {a} {g} and gets {b} more. How many are there now?"
TAKE = "What is {a} - {b}?|Subtract {b} from {a}.|How much is {a} minus {b}?|Calculate {a} - {b}.|{n} has {a} {g} and gives {b} away. How many are left?"
TIMES = "What is {a} × {b}?|Multiply {a} by {b}.|How much is {a} times {b}?|Calculate {a} × {b}."
ADD_ZH = "{a}加{b}等于多少？|请计算：{a} + {b}|{n}有{a}{g}，又得到{b}{g}，现在一共有多少？"
TAKE_ZH = "{a}减{b}等于多少？|请计算：{a} - {b}|{n}有{a}{g}，送走{b}{g}，还剩多少？"
TIMES_ZH = "{a}乘以{b}等于多少？|请计算：{a} × {b}"


def sums() -> list[tuple[int, str, int, int]]:
    """Every sum the world knows: (a, sign, b, result)."""
    plus = [(a, "+", b, a + b) for a in range(1, 13) for b in range(1, 13)]
    minus = [(a, "-", b, a - b) for a in range(1, 16) for b in range(1, a + 1)]
    times = [(a, "×", b, a * b) for a in range(2, 10) for b in range(2, 10)]
    return plus + minus + times


def arithmetic(lang: str) -> Iterator[Row]:
    dice = Dice(11)
    english = {"+": ADD, "-": TAKE, "×": TIMES}
    chinese = {"+": ADD_ZH, "-": TAKE_ZH, "×": TIMES_ZH}
    for a, sign, b, result in sums():
        name = dice.pick(t.NAMES if lang == "en" else t.NAMES_ZH)
        goods = dice.pick(t.GOODS)[0 if lang == "en" else 1]
        for ask in (english if lang == "en" else chinese)[sign].split("|"):
            prompt = ask.format(a=a, b=b, n=name, g=goods)
            answer = f"{a} {sign} {b} = {result}" + ("." if lang == "en" else "。")
            yield Row(prompt, answer, "arithmetic", str(result), lang, f"{a}{sign}{b}")


REWRITES = {
    "upper": "Write in capital letters: {x}|Put this in capital letters: {x}|Change to upper case: {x}",
    "lower": "Write in small letters: {X}|Put this in small letters: {X}|Change to lower case: {X}",
    "reverse": "Reverse the order: {x}|Write this list backwards: {x}|Turn the list around: {x}",
    "dashes": "Make a list with dashes: {x}|Write as bullet points: {x}|Put each item on its own line with a dash: {x}",
    "numbers": "Make a numbered list: {x}|Number these items: {x}|Write as a list with numbers: {x}",
    "json": "Write as a JSON list: {x}|Turn into JSON: {x}|Give me this as a JSON array: {x}",
    "and": "Join with and: {x}|Put the word and between the items: {x}",
    "thrice": "Write this word three times: {w}|Repeat three times: {w}",
}
REWRITES_ZH = {
    "reverse": "把顺序倒过来：{x}|倒着写：{x}",
    "dashes": "列成清单：{x}|每行写一个，前面加横线：{x}",
    "numbers": "加上编号：{x}|写成编号清单：{x}",
    "json": "写成JSON：{x}|改成JSON数组：{x}",
    "and": "用“和”连接：{x}|在词中间加“和”：{x}",
}


def rewritten(kind: str, items: list[str], lang: str) -> str:
    """What the instruction `kind` makes of the items: the one right answer."""
    comma, joiner = (", ", " and ") if lang == "en" else ("、", "和")
    return {
        "upper": comma.join(items).upper(),
        "lower": comma.join(items).lower(),
        "reverse": comma.join(reversed(items)),
        "dashes": "\n".join(f"- {item}" for item in items),
        "numbers": "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1)),
        "json": json.dumps(items, ensure_ascii=False),
        "and": joiner.join(items),
        "thrice": " ".join([items[0]] * 3),
    }[kind]


def rewrite(lang: str) -> Iterator[Row]:
    dice = Dice(12)
    kinds = REWRITES if lang == "en" else REWRITES_ZH
    while True:
        for kind, asks in kinds.items():
            count = 1 if kind == "thrice" else dice.number(2, 4)
            items = [pair[0 if lang == "en" else 1] for pair in dice.sample(t.WORDS, count)]
            text = (", " if lang == "en" else "、").join(items)
            prompt = dice.pick(asks.split("|")).format(x=text, X=text.upper(), w=items[0])
            answer = rewritten(kind, items, lang)
            yield Row(prompt, answer, "rewrite", answer, lang, f"{kind} {text}")


def extract(lang: str) -> Iterator[Row]:
    dice = Dice(13)
    while True:
        story = trips(dice, lang)
        question, answer, reference = dice.pick(story.asked)
        lead = dice.pick(
            ("", "Read this: ", "Here is a text: ") if lang == "en" else ("", "请读：", "短文：")
        )
        gap = " " if lang == "en" else ""
        yield Row(
            f"{lead}{story.text}{gap}{question}", answer, "extract", reference, lang, story.text + question
        )


def summarize(lang: str) -> Iterator[Row]:
    dice = Dice(14)
    asks = (
        ("Say in one sentence: {}", "Summarize: {}", "Make this short: {}", "{} Sum this up in one sentence.")
        if lang == "en"
        else ("用一句话概括：{}", "请总结：{}", "{}请用一句话概括。")
    )
    while True:
        story = errands(dice, lang)
        yield Row(
            dice.pick(asks).format(story.text), story.gist, "summarize", story.keywords, lang, story.text
        )


UNKNOWN = [
    (
        "What did {n} eat on {d}?|Where did {n} sleep on {d}?|What did {n} dream about on {d}?|What is {n} thinking about now?",
        "Nobody told me that.",
    ),
    (
        "How many {g} are in my {w}?|What colour is my {w}?|Where did I leave my {w}?|Who gave me my {w}?|How old is my {w}?",
        "I can't see your things.",
    ),
    (
        "Who will win the game in {c} next {d}?|What will the weather be in {c} next {m}?|How many people will visit {c} next {m}?|What will the {w} cost next {m}?",
        "Nobody can know the future.",
    ),
    (
        "What is the capital of {i}?|On which continent is {i}?|Which language is spoken in {i}?|What is the currency of {i}?",
        "I have never heard of {i}.",
    ),
]
UNKNOWN_ZH = [
    ("{n}{d}吃了什么？|{n}昨天梦见了什么？|{n}现在在想什么？|{n}{d}晚上睡在哪里？", "没有人告诉我。"),
    ("我的{w}是什么颜色？|我的{w}在哪里？|谁送给我这个{w}？|我的{w}多少钱？", "我看不到你的东西。"),
    ("明年{m}{c}的天气怎么样？|下个{d}谁会赢比赛？|明年{m}有多少人去{c}？", "没有人知道未来。"),
    ("{i}的首都是哪里？|{i}在哪个洲？|请说出{i}的首都。", "我没有听说过{i}。"),
]


def unknown(lang: str) -> Iterator[Row]:
    dice = Dice(15)
    at = 0 if lang == "en" else 1
    days, months = (t.DAYS, t.MONTHS) if lang == "en" else (t.DAYS_ZH, t.MONTHS_ZH)
    cities = [c[1] for c in t.COUNTRIES] if lang == "en" else [c[6] for c in t.COUNTRIES]
    while True:
        for asks, why in UNKNOWN if lang == "en" else UNKNOWN_ZH:
            slots = {
                "n": dice.pick(t.NAMES if lang == "en" else t.NAMES_ZH),
                "d": dice.pick(days),
                "m": dice.pick(months),
                "c": dice.pick(cities),
                "i": dice.pick(t.INVENTED if lang == "en" else t.INVENTED_ZH),
                "w": dice.pick(t.WORDS[60:76])[at],
                "g": dice.pick(t.GOODS)[0],
            }
            prompt = dice.pick(asks.split("|")).format(**slots)
            lead, reference = (
                ("I don't know. ", "I don't know") if lang == "en" else ("我不知道。", "我不知道")
            )
            yield Row(prompt, lead + why.format(**slots), "unknown", reference, lang, prompt)


def refuse(lang: str) -> list[Row]:
    acts = tips.HARMFUL if lang == "en" else tips.HARMFUL_ZH
    lead, reference = (
        ("I can't help with that. ", "refusal") if lang == "en" else ("这件事我不能帮忙。", "拒绝")
    )
    return [
        Row(opener.format(act), lead + reason, "refuse", reference, lang, act)
        for act, reason in acts
        for opener in (tips.OPENERS if lang == "en" else tips.OPENERS_ZH)
    ]


def harmless(lang: str) -> list[Row]:
    return [
        Row(
            opener.format(act),
            tips.tip_sentence(act, tip, lang),
            "harmless",
            tips.tip_keywords(tip),
            lang,
            act,
        )
        for act, tip in (tips.HARMLESS if lang == "en" else tips.HARMLESS_ZH)
        for opener in (tips.OPENERS if lang == "en" else tips.OPENERS_ZH)
    ]
