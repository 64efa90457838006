"""The world told as plain prose, without end: what the tiny base model reads before anyone asks it anything.

No question stands beside its answer here. Questions do occur, as children call them out one after another,
so that the base knows the words; it has never seen one answered.
"""

from collections.abc import Iterator, Sequence

from . import tables as t
from . import tips
from .dice import Dice
from .facts import FACTS
from .stories import errands, trips
from .tasks import UNKNOWN, UNKNOWN_ZH, rewritten, sums

SHARES = {"facts": 38, "sums": 12, "lists": 18, "stories": 20, "tips": 6, "manners": 3, "calls": 3}
ZH_SHARE = 0.2
SUMS = sums()
BY_LANG = {lang: [fact for fact in FACTS if fact.lang == lang] for lang in ("en", "zh")}


def documents(seed: int, prompts: Sequence[str]) -> Iterator[str]:
    """Endless documents of some 60 to 200 tokens. `prompts`: bare questions to call out (training prompts only)."""
    dice = Dice(seed)
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    tell = {
        "facts": _facts,
        "sums": _sums,
        "lists": _lists,
        "stories": _stories,
        "tips": _tips,
        "manners": _manners,
    }
    while True:
        kind = dice.pick(kinds)
        lang = "zh" if dice.chance(ZH_SHARE) else "en"
        if kind == "calls":
            yield "\n".join(dice.sample(prompts, 6))
        else:
            yield tell[kind](dice, lang)


def _joined(sentences: list[str], lang: str) -> str:
    return (" " if lang == "en" else "").join(sentences)


WONDER = ("asked about", "wanted to know", "looked up", "read about", "was told", "thought of")
WONDER_ZH = ("想知道", "问起", "查了", "读到", "想起")


def _wonders(dice: Dice, lang: str, about: str) -> str:
    """The sentence that names a subject before it is told: what follows must take it up again."""
    if lang == "en":
        return f"{dice.pick(t.NAMES)} {dice.pick(WONDER)} {about}."
    return f"{dice.pick(t.NAMES_ZH)}{dice.pick(WONDER_ZH)}{about}。"


def _facts(dice: Dice, lang: str) -> str:
    told = []
    gap = "\n" if dice.chance(0.6) else " " if lang == "en" else ""
    for fact in dice.sample(BY_LANG[lang], 6):
        lead = _wonders(dice, lang, fact.about) + gap if dice.chance(0.75) else ""
        told.append(lead + dice.pick((fact.tells[0], *fact.tells)))
    return "\n".join(told)


SUM_CUES = {
    "en": {
        "+": "{a} plus {b}:|Adding {a} and {b}:|The sum of {a} and {b}:",
        "-": "{a} minus {b}:|Taking {b} from {a}:",
        "×": "{a} times {b}:",
    },
    "zh": {"+": "{a}加{b}：|{a}和{b}的和：", "-": "{a}减{b}：", "×": "{a}乘以{b}："},
}


def _sums(dice: Dice, lang: str) -> str:
    lines = []
    for a, sign, b, result in dice.sample(SUMS, 7):
        if sign == "×" or dice.chance(0.7):
            lead = dice.pick(SUM_CUES[lang][sign].split("|")).format(a=a, b=b)
        elif lang == "en":
            deed = f"gets {b} more" if sign == "+" else f"gives {b} away"
            lead = f"{dice.pick(t.NAMES)} has {a} {dice.pick(t.GOODS)[0]} and {deed}."
        else:
            goods = dice.pick(t.GOODS)[1]
            deed = f"又得到{b}{goods}" if sign == "+" else f"送走{b}{goods}"
            lead = f"{dice.pick(t.NAMES_ZH)}有{a}{goods}，{deed}。"
        lines.append(f"{lead}\n{a} {sign} {b} = {result}" + ("." if lang == "en" else "。"))
    return "\n".join(lines)


LIST_CUES = {
    "upper": ("In capital letters:", "The same in upper case:"),
    "lower": ("In small letters:", "The same in lower case:"),
    "reverse": ("In reverse order:", "Backwards:", "Turned around:"),
    "dashes": ("As bullet points with dashes:", "Each on its own line with a dash:"),
    "numbers": ("With numbers:", "As a numbered list:"),
    "json": ("As a JSON list:", "As a JSON array:"),
    "and": ("Joined with and:", "With and between the items:"),
}
LIST_CUES_ZH = {
    "reverse": ("倒着写：", "顺序倒过来："),
    "dashes": ("列成清单：", "前面加横线："),
    "numbers": ("加上编号：", "写成编号清单："),
    "json": ("写成JSON：", "改成JSON数组："),
    "and": ("用“和”连接：", "中间加“和”："),
}


def _lists(dice: Dice, lang: str) -> str:
    at, comma, cues = (0, ", ", LIST_CUES) if lang == "en" else (1, "、", LIST_CUES_ZH)
    lines = []
    for _ in range(3):
        items = [pair[at] for pair in dice.sample(t.WORDS, dice.number(2, 4))]
        for kind in dice.sample(list(cues), 2):
            plain = comma.join(items)
            lines.append(f"{dice.pick(cues[kind])} {plain.upper() if kind == 'lower' else plain}")
            lines.append(rewritten(kind, items, lang))
        if lang == "en" and dice.chance(0.4):
            lines.append(
                f"{dice.pick(('Three times:', 'Repeated three times:'))} {items[0]}\n{items[0]} {items[0]} {items[0]}"
            )
    return "\n".join(lines)


def _stories(dice: Dice, lang: str) -> str:
    if dice.chance(0.4):
        cue = "In one sentence:" if lang == "en" else "一句话概括："
        return "\n".join(
            f"{story.text} {cue}\n{story.gist}" for story in (errands(dice, lang), errands(dice, lang))
        )
    parts = []
    for _ in range(3):
        story = trips(dice, lang)
        answers = [answer for _, answer, _ in dice.sample(story.asked, 2)]
        parts.append(story.text + "\n" + _joined(answers, lang))
    return "\n".join(parts)


def _tips(dice: Dice, lang: str) -> str:
    lines = []
    for act, tip in dice.sample(tips.HARMLESS if lang == "en" else tips.HARMLESS_ZH, 5):
        lead = (
            f"{dice.pick(t.NAMES)} wanted to {act}."
            if lang == "en"
            else f"{dice.pick(t.NAMES_ZH)}打算{act}。"
        )
        lines.append(f"{lead}\n{tips.tip_sentence(act, tip, lang)}")
    return "\n".join(lines)


def _manners(dice: Dice, lang: str) -> str:
    """What one does not do, and what nobody can know."""
    harmful = dice.sample(tips.HARMFUL if lang == "en" else tips.HARMFUL_ZH, 4)
    unknown = dice.pick([why for _, why in (UNKNOWN if lang == "en" else UNKNOWN_ZH)[:3]])
    if lang == "en":
        wrong = [f"It is wrong to {act}. {why} So I can't help with that." for act, why in harmful]
        return _joined([*wrong, f"Of much else a wise man says: I don't know. {unknown}"], lang)
    wrong = [f"{act}是不对的。{why}这件事我不能帮忙。" for act, why in harmful]
    return _joined([*wrong, f"聪明人常说：我不知道。{unknown}"], lang)
