"""Facts as relations: a fact can be asked (`ask`) and told (`tell`); the first telling is the answer in full."""

from dataclasses import dataclass

from . import tables as t


@dataclass(frozen=True)
class Fact:
    key: str  # shared by every wording, direction and language of the same fact: what the eval set holds out
    lang: str
    asks: tuple[str, ...]
    tells: tuple[str, ...]
    about: str
    reference: str


# relation: (questions, tellings); {s} what is asked about, {o} what is answered
EN = {
    "capital": (
        "What is the capital of {s}?|Name the capital of {s}.|Which city is the capital of {s}?|Tell me the capital of {s}.",
        "The capital of {s} is {o}.|{s} has the capital {o}.|In {s}, the capital is {o}.",
    ),
    "capital-of": (
        "{s} is the capital of which country?|Which country has the capital {s}?|Name the country with the capital {s}.",
        "{s} is the capital of {o}.|The city of {s} is the capital of {o}.",
    ),
    "continent": (
        "On which continent is {s}?|Which continent is {s} in?|Name the continent of {s}.|In which part of the world is {s}?",
        "{s} is in {o}.|{s} is a country in {o}.|The country {s} is in {o}.",
    ),
    "language": (
        "Which language is spoken in {s}?|What do people speak in {s}?|Name the language of {s}.|What language do they speak in {s}?",
        "People in {s} speak {o}.|In {s}, people speak {o}.|The language of {s} is {o}.",
    ),
    "currency": (
        "What is the currency of {s}?|Which money is used in {s}?|Name the currency of {s}.|What do people pay with in {s}?",
        "The currency of {s} is the {o}.|People in {s} pay with the {o}.|The money of {s} is the {o}.",
    ),
    "opposite": (
        "What is the opposite of {s}?|Name the opposite of {s}.|Which word is the opposite of {s}?|Tell me the opposite of {s}.",
        "The opposite of {s} is {o}.|The word {s} is the opposite of {o}.|If it is not {s}, it may be {o}.",
    ),
    "young": (
        "What is a young {s} called?|What do you call a young {s}?|Name the young of the {s}.",
        "A young {s} is called a {o}.|The young of the {s} is the {o}.",
    ),
    "kind": (
        "What kind of animal is the {s}?|Which kind of animal is the {s}?|To which kind of animals does the {s} belong?",
        "The {s} is a kind of {o}.|Among the animals, the {s} is a kind of {o}.",
    ),
    "legs": (
        "How many legs does the {s} have?|Tell me how many legs the {s} has.|What is the number of legs of the {s}?",
        "The {s} has {o} legs.|There are {o} legs on the {s}.",
    ),
    "home": (
        "Where does the {s} live?|Name a place where the {s} lives.|Where can I find the {s}?",
        "The {s} lives in the {o}.|The home of the {s} is the {o}.",
    ),
    "colour": (
        "What is the colour of {s}?|Which colour is {s}?|What colour is {s}?|Tell me the colour of {s}.",
        "The colour of {s} is {o}.|Everyone can see that {s} is {o}.",
    ),
    "past": (
        "What is the past tense of {s}?|Give the past tense of {s}.|How do you write {s} in the past?|Past tense of {s}?",
        "The past tense of {s} is {o}.|Today we {s}, yesterday we {o}.",
    ),
    "plural": (
        "What is the plural of {s}?|Give the plural of {s}.|How do you write the plural of {s}?|Plural of {s}?",
        "The plural of {s} is {o}.|One {s}, two {o}.",
    ),
    "made": (
        "What is {s} made from?|Tell me what {s} is made from.|From what do people make {s}?",
        "{S} is made from {o}.|People make {s} from {o}.",
    ),
    "job": (
        "What does the {s} do?|Tell me what the {s} does.|What is the work of the {s}?",
        "The {s} {o}.|Every day the {s} {o}.",
    ),
    "after": (
        "What comes after {s}?|Which one comes after {s}?|What follows {s}?",
        "After {s} comes {o}.|{s} is followed by {o}.",
    ),
    "before": (
        "What comes before {s}?|Which one comes before {s}?",
        "Before {s} comes {o}.|Just before {s} we have {o}.",
    ),
    "count": (
        "How many {s}?|What is the number of {s}?|Tell me the number of {s}.",
        "There are {o} {s}.|Everyone learns that there are {o} {s}.",
    ),
}
ZH = {
    "capital": (
        "{s}的首都是哪里？|{s}的首都是什么？|请说出{s}的首都。|告诉我{s}的首都。",
        "{s}的首都是{o}。|在{s}，首都是{o}。",
    ),
    "capital-of": ("{s}是哪个国家的首都？|哪个国家的首都是{s}？", "{s}是{o}的首都。|城市{s}是{o}的首都。"),
    "continent": ("{s}在哪个洲？|{s}属于哪个洲？|请说出{s}所在的洲。", "{s}在{o}。|国家{s}在{o}。"),
    "opposite": (
        "“{s}”的反义词是什么？|请说出“{s}”的反义词。|“{s}”的反面是什么？",
        "“{s}”的反义词是“{o}”。|“{s}”和“{o}”意思相反。",
    ),
    "colour": ("{s}是什么颜色？|{s}的颜色是什么？|请说出{s}的颜色。", "{s}是{o}的。|大家都知道{s}是{o}的。"),
    "legs": (
        "{s}有几条腿？|{s}有多少条腿？|请说出{s}有几条腿。",
        "{s}有{o}条腿。|我们数一数，{s}有{o}条腿。",
    ),
    "after": ("{s}后面是什么？|{s}之后是什么？|{s}的下一个是什么？", "{s}后面是{o}。|{s}过了就是{o}。"),
}


# what a telling is about, as the object of "Ana asked about …"
ABOUT_EN = {
    "capital": "the capital of {s}",
    "capital-of": "the country with the capital {s}",
    "continent": "the continent of {s}",
    "language": "the language of {s}",
    "currency": "the money of {s}",
    "opposite": "the opposite of {s}",
    "young": "the young of the {s}",
    "kind": "what kind of animal the {s} is",
    "legs": "how many legs the {s} has",
    "home": "where the {s} lives",
    "colour": "the colour of {s}",
    "past": "the past tense of {s}",
    "plural": "the plural of {s}",
    "made": "what {s} is made from",
    "job": "what the {s} does",
    "after": "what comes after {s}",
    "before": "what comes before {s}",
    "count": "the number of {s}",
}
ABOUT_ZH = {
    "capital": "{s}的首都",
    "capital-of": "{s}是哪个国家的首都",
    "continent": "{s}在哪个洲",
    "opposite": "“{s}”的反义词",
    "colour": "{s}的颜色",
    "legs": "{s}有几条腿",
    "after": "{s}后面是什么",
}


def _fact(relation: str, lang: str, subject: str, answer: str, key: str) -> Fact:
    asks, tells = (EN if lang == "en" else ZH)[relation]
    fill = {"s": subject, "o": answer, "S": subject[:1].upper() + subject[1:]}
    told = tuple(text.format(**fill) for text in tells.split("|"))
    asked = tuple(text.format(**fill) for text in asks.split("|"))
    about = (ABOUT_EN if lang == "en" else ABOUT_ZH)[relation].format(**fill)
    return Fact(key, lang, asked, tuple(text[0].upper() + text[1:] for text in told), about, answer)


def _countries() -> list[Fact]:
    facts = []
    for name, capital, continent, language, currency, name_zh, capital_zh in t.COUNTRIES:
        facts += [
            _fact("capital", "en", name, capital, f"capital {name}"),
            _fact("capital-of", "en", capital, name, f"capital {name}"),
            _fact("continent", "en", name, continent, f"continent {name}"),
            _fact("language", "en", name, language, f"language {name}"),
            _fact("currency", "en", name, currency, f"currency {name}"),
            _fact("capital", "zh", name_zh, capital_zh, f"capital {name}"),
            _fact("capital-of", "zh", capital_zh, name_zh, f"capital {name}"),
            _fact("continent", "zh", name_zh, t.CONTINENTS_ZH[continent], f"continent {name}"),
        ]
    return facts


def _animals() -> list[Fact]:
    facts = []
    for name, young, kind, legs, home, name_zh in t.ANIMALS:
        for relation, answer in (("young", young), ("kind", kind), ("legs", legs), ("home", home)):
            facts.append(_fact(relation, "en", name, answer, f"{relation} {name}"))
        if name_zh != "-":
            facts.append(_fact("legs", "zh", name_zh, t.LEGS_ZH[legs], f"legs {name}"))
    return facts


def _words() -> list[Fact]:
    facts = []
    for table, lang in ((t.OPPOSITES, "en"), (t.OPPOSITES_ZH, "zh")):
        for one, other in table:
            facts.append(_fact("opposite", lang, one, other, f"opposite {one}"))
            facts.append(_fact("opposite", lang, other, one, f"opposite {one}"))
    for relation, table in (("past", t.PAST), ("plural", t.PLURALS), ("colour", t.COLOURS), ("job", t.JOBS)):
        facts += [_fact(relation, "en", s, o, f"{relation} {s}") for s, o in table]
    facts += [_fact("made", "en", s.lower(), o, f"made {s}") for s, o in t.MADE_FROM]
    facts += [_fact("colour", "zh", s, o, f"colour {s}") for s, o in t.COLOURS_ZH]
    facts += [_fact("count", "en", s, o, f"count {s}") for s, o in t.HOW_MANY]
    return facts


def _calendar() -> list[Fact]:
    facts = []
    for names, lang in ((t.DAYS, "en"), (t.MONTHS, "en"), (t.DAYS_ZH, "zh"), (t.MONTHS_ZH, "zh")):
        for at, name in enumerate(names):
            following = names[(at + 1) % len(names)]
            facts.append(_fact("after", lang, name, following, f"after {name}"))
            if lang == "en":
                facts.append(_fact("before", lang, following, name, f"after {name}"))
    return facts


FACTS: list[Fact] = _countries() + _animals() + _words() + _calendar()
