"""The parts of a profile: languages, traits of a text, near duplicates."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sftkit.data.lens.duplicates import NearDuplicates, shingles, signature, similarity, words
from sftkit.data.lens.languages import language
from sftkit.data.lens.traits import has_html, is_boilerplate, is_mojibake, repeats, traits_of


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "Where is the station?"),
        ("en", "Write a Python function named 排序 that sorts a list of numbers"),
        ("zh", "车站在哪里？"),
        ("zh", "請把這句話翻譯成英文：hello world"),
        ("zh", "用 Python 写一个排序函数"),
        ("ja", "駅はどこですか。東京駅前です。"),
        ("ko", "역이 어디에 있나요?"),
        ("ru", "Где находится вокзал?"),
        ("uk", "Де знаходиться вокзал? Її немає."),
        ("ar", "أين المحطة؟"),
        ("fa", "ایستگاه قطار کجاست؟ چه ساعتی؟"),
        ("he", "איפה התחנה?"),
        ("el", "Πού είναι ο σταθμός;"),
        ("th", "สถานีอยู่ที่ไหน"),
        ("hi", "स्टेशन कहाँ है?"),
        ("fr", "Où est la gare, s'il vous plaît ?"),
        ("de", "Wo ist der Bahnhof, und wann fährt die Bahn?"),
        ("es", "¿Dónde está la estación de tren? No lo sé."),
        ("pt", "Onde fica a estação de trem? Não sei."),
        ("it", "Dov'è la stazione dei treni? È nella città."),
        ("unknown", "x = 3 + f(y)"),
        ("unknown", "Beethoven, Mozart, Haydn"),
        ("unknown", ""),
    ],
)
def test_languages(code, text):
    assert language(text) == code


@pytest.mark.parametrize("text", ["cafÃ©", "itâ€™s", "ÄãºÃÊÀ½ç", "浣犲ソ锛屼笘鐣", "鏂囦欢", "锟斤拷", "a � b", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚"])  # fmt: skip
def test_garbled_text(text):
    assert is_mojibake(f"Some words and {text} and more")


@pytest.mark.parametrize(
    "text",
    [
        "naïve café, résumé, “quoted” — dash…", "今天天气很好，我们去公园散步。联通网络。", "繁體中文測試一下這個句子",
        "日本語の文章です。漢字とカタカナ混じり", "ÄÖÜ äöü ß Straße", "(/ˈlɪndən ˈbeɪnz/; [ˈtʃaβes])", "Привет, мир", "π ≈ 3.14 × 10²", "🙂 👍🏽",
    ],
)  # fmt: skip
def test_honest_text_is_not_garbled(text):
    assert not is_mojibake(text)


def test_html_and_code():
    for text in (
        "a<br>b",
        "<p class=x>hi</p>",
        "a&nbsp;b",
        "Tom &amp; Ann",
        "<!-- note -->",
        "<A HREF='x'>y</A>",
    ):
        assert has_html(text), text
    for text in ("a < b > c", "List<String> x", "`<br>` breaks a line", "```\n<div>\n```", "R&D;", "<name> here", "x <- 3"):  # fmt: skip
        assert not has_html(text), text


def test_boilerplate_in_both_languages():
    for text in ("As an AI language model, I can't.", "I'm an AI and", "My knowledge cutoff is 2021", "作为一个AI语言模型，", "作为人工智能助手", "我是一个大型语言模型", "我的知识截止到2021年"):  # fmt: skip
        assert is_boilerplate(text), text
    for text in ("As an aid to memory", "AI is a field of research", "人工智能是一门学科", "他作为一个老师"):
        assert not is_boilerplate(text), text


def test_answers_that_repeat_the_prompt():
    assert repeats("What is the capital of France?", "what is the capital of france  Paris.")
    assert repeats("法国的首都是哪里？", "法国的首都是哪里？是巴黎。")
    assert not repeats("Hello", "Hello! How are you?")
    assert not repeats("What is the capital of France?", "The capital of France is Paris.")
    assert not repeats("Change to upper case: horse, key", "HORSE, KEY")
    talk = [("user", "a b c d e f g h"), ("assistant", "x"), ("user", "say it all again"), ("assistant", "Say it all again: x")]  # fmt: skip
    assert traits_of([{"role": role, "content": text} for role, text in talk]) == {"echo"}


def test_words_of_chinese_are_its_characters():
    assert words("你好 World_wide 3.5") == ["你", "好", "world", "wide", "3", "5"]
    assert len(shingles("")) == 0 and len(shingles("one")) == 1
    assert similarity("今天天气很好我们去公园散步吧", "今天天气很好我们去公园跑步吧") == pytest.approx(
        11 / 15
    )


def test_estimates_are_as_good_as_they_are_said_to_be():
    """The share of equal hashes is within its standard error of the true similarity, on average over pairs."""
    rng = random.Random(1)
    errors = []
    for _ in range(200):
        one = [rng.choice("abcdefghijklmnop") + str(rng.randrange(40)) for _ in range(120)]
        other = [word if rng.random() > 0.05 else "new" for word in one]
        a, b = " ".join(one), " ".join(other)
        errors.append((signature(a) == signature(b)).mean() - similarity(a, b))
    assert abs(np.mean(errors)) < 0.01 and np.std(errors) < 0.04


def test_near_duplicates_in_a_crowd():
    """Of 2,000 texts, 150 with one word changed and 40 in one long chain; far ones are not taken."""
    rng = random.Random(3)
    vocabulary = [f"w{number}" for number in range(3000)]
    base = [[rng.choice(vocabulary) for _ in range(60)] for _ in range(2000)]

    def changed(text: list[str], places: list[int]) -> list[str]:
        return ["new" if place in places else word for place, word in enumerate(text)]

    near = [changed(text, [rng.randrange(60)]) for text in base[:150]]
    far = [changed(text, rng.sample(range(60), 25)) for text in base[200:350]]
    chain = [base[500]]
    for step in range(40):
        chain.append(changed(chain[-1], [step]))
    texts = [" ".join(text) for text in base + near + far + chain[1:]]
    found = NearDuplicates(0.8)
    for at in range(0, len(texts), 300):
        found.add(texts[at : at + 300])
    first = found.clusters()
    assert first[:2000].tolist() == list(range(2000))
    assert first[2000:2150].tolist() == list(range(150))
    assert first[2150:2300].tolist() == list(range(2150, 2300))
    assert (first[2300:] == 500).all()
    assert (found.clusters(skip=np.arange(len(texts)) >= 2000) == np.arange(len(texts))).all()


@pytest.mark.parametrize("threshold", [0.5, 0.65, 0.9, 1.0])
def test_pairs_at_any_threshold_are_found(threshold):
    """Pairs a little above the threshold are found, pairs well below it are not."""
    rng = random.Random(5)
    vocabulary = [f"w{number}" for number in range(3000)]

    def pair(wanted: float) -> list[str]:
        one = [rng.choice(vocabulary) for _ in range(400)]
        kept = round(
            400 * 2 * wanted / (1 + wanted)
        )  # a common beginning: of so many pairs in 2 * 400 - kept
        return [" ".join(one), " ".join(one[:kept] + [rng.choice(vocabulary) for _ in range(400 - kept)])]

    for wanted, least, most in ((min(1.0, threshold + 0.12), 99, 100), (threshold - 0.15, 0, 1)):
        found = NearDuplicates(threshold)
        for _ in range(100):
            found.add(pair(wanted))
        first = found.clusters()
        assert least <= (first[1::2] == first[::2]).sum() <= most
