"""Two shapes of very short story, with what can be asked about them and how they are told in short."""

from dataclasses import dataclass

from . import tables as t
from .dice import Dice

FEW = "two three four five six seven eight nine".split()
FEW_ZH = "两 三 四 五 六 七 八 九".split()


@dataclass(frozen=True)
class Trip:
    text: str
    asked: list[tuple[str, str, str]]  # question, answer, reference


@dataclass(frozen=True)
class Errand:
    text: str
    gist: str
    keywords: str


def trips(dice: Dice, lang: str) -> Trip:
    """Two people, the same kind of sentence about each; every question is about one of them."""
    make = dice.pick((_went, _has, _saw) if lang == "en" else (_went_zh, _has_zh))
    names = dice.sample(t.NAMES if lang == "en" else t.NAMES_ZH, 2)
    told = [make(dice, name) for name in names]
    return Trip(
        (" " if lang == "en" else "").join(text for text, _ in told), [q for _, asked in told for q in asked]
    )


def _went(dice: Dice, name: str) -> tuple[str, list]:
    city, day = dice.pick(t.COUNTRIES)[1], dice.pick(t.DAYS)
    text = f"{name} went to {city} on {day}."
    return text, [
        (f"Where did {name} go?", f"{name} went to {city}.", city),
        (f"When did {name} go?", f"{name} went on {day}.", day),
    ]


def _has(dice: Dice, name: str) -> tuple[str, list]:
    count, colour, goods = dice.pick(FEW), dice.pick(t.PAINTS)[0], dice.pick(t.GOODS)[0]
    return f"{name} has {count} {colour} {goods}.", [
        (f"What does {name} have?", f"{name} has {count} {colour} {goods}.", f"{count} {colour} {goods}"),
        (f"How many {goods} does {name} have?", f"{name} has {count} {goods}.", count),
        (f"What colour are the {goods} of {name}?", f"The {goods} of {name} are {colour}.", colour),
    ]


def _saw(dice: Dice, name: str) -> tuple[str, list]:
    animal, place = dice.pick(t.ANIMALS)[0], dice.pick(t.PLACES)[0]
    article = "an" if animal[0] in "aeiou" else "a"
    return f"{name} saw {article} {animal} near the {place}.", [
        (f"What did {name} see?", f"{name} saw {article} {animal}.", animal),
        (f"Where was {name}?", f"{name} was near the {place}.", place),
    ]


def _went_zh(dice: Dice, name: str) -> tuple[str, list]:
    city, day = dice.pick(t.COUNTRIES)[6], dice.pick(t.DAYS_ZH)
    return f"{name}{day}去了{city}。", [
        (f"{name}去了哪里？", f"{name}去了{city}。", city),
        (f"{name}什么时候去的？", f"{name}{day}去的。", day),
    ]


def _has_zh(dice: Dice, name: str) -> tuple[str, list]:
    count, goods = dice.pick(FEW_ZH), dice.pick(t.GOODS)[1]
    return f"{name}有{count}{goods}。", [(f"{name}有什么？", f"{name}有{count}{goods}。", f"{count}{goods}")]


def errands(dice: Dice, lang: str) -> Errand:
    """Someone goes to a place, does one thing that matters, and goes home."""
    if lang == "zh":
        return _errand_zh(dice)
    name, day = dice.pick(t.NAMES), dice.pick(t.DAYS)
    they = "She" if name in t.SHE else "He"
    place, count, goods = dice.pick(t.PLACES)[0], dice.pick(FEW), dice.pick(t.GOODS)[0]
    start = dice.pick(
        (
            f"{name} got up early on {day}.",
            f"It was {day} and {name} was free.",
            f"On {day} {name} had breakfast.",
        )
    )
    walk = dice.pick(
        (
            f"{they} walked to the {place}.",
            f"{they} took the bus to the {place}.",
            f"{they} went to the {place}.",
        )
    )
    end = dice.pick(
        (f"Then {they.lower()} went home.", "It began to rain.", f"{they} was happy.", "The sun was shining.")
    )
    text = f"{start} {walk} {they} bought {count} {goods}. {end}"
    return Errand(
        text, f"{name} bought {count} {goods} at the {place}.", f"{name}; {count}; {goods}; {place}"
    )


def _errand_zh(dice: Dice) -> Errand:
    name, day, place = dice.pick(t.NAMES_ZH), dice.pick(t.DAYS_ZH), dice.pick(t.PLACES)[1]
    count, goods = dice.pick(FEW_ZH), dice.pick(t.GOODS)[1]
    start = dice.pick((f"{day}{name}起得很早。", f"今天是{day}，{name}有空。"))
    end = dice.pick(("然后就回家了。", "后来下雨了。", "大家都很高兴。"))
    text = f"{start}{name}走到{place}，买了{count}{goods}。{end}"
    return Errand(text, f"{name}在{place}买了{count}{goods}。", f"{name}; {place}; {count}{goods}")
