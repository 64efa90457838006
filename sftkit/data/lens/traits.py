"""What is odd in a conversation, told by its text alone: each trait a function of prompts and answers.

traits_of(messages)      # {"html", "boilerplate"}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from sftkit.data.turns import Message

SAMPLE = 20_000  # characters of a message that are looked at

# Tags that people write and documents have; not <T>, <name> or a < b > c.
_TAGS = "a|abbr|article|b|blockquote|body|br|button|code|dd|div|dl|dt|em|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|label|li|link|main|meta|nav|ol|option|p|pre|script|section|select|small|span|strong|style|sub|sup|svg|table|tbody|td|th|thead|title|tr|u|ul"
_HTML = re.compile(rf"</?(?:{_TAGS})(?:\s+[a-z-]+(?:\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'|[^\s<>]+))?)*\s*/?>|&(?:nbsp|amp|lt|gt|quot|apos|#\d{{2,5}}|#x[0-9a-f]{{2,5}});|<!--|<!doctype", re.IGNORECASE)  # fmt: skip
_FENCED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)

_BOILERPLATE = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model|virtual assistant)\b"
    r"|\bi(?: am|['’]m) (?:just |only )?an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|\bmy (?:knowledge cut-?off|training data (?:only )?(?:goes|extends|includes))|\bknowledge cut-?off\b"
    r"|\bas of my (?:last|latest|most recent) (?:knowledge |training )?update"
    r"|\bi(?: do not|['’]t| don['’]t) have (?:personal (?:opinions|experiences|beliefs|feelings)|access to real-time|the ability to browse)"
    r"|\b(?:trained|developed|created) by openai\b"
    r"|作为(?:一个|一名|一款|一种)?\s*(?:ai|人工智能|大?语言模型|大型语言模型|虚拟助手)"
    r"|(?:我(?:只)?是|身为)(?:一个|一名|一款|一种)?\s*(?:ai|人工智能|大?语言模型|大型语言模型)"
    r"|我的(?:知识|训练数据)(?:库)?(?:只)?(?:截止|截至|更新到)|由\s*openai\s*(?:训练|开发|创造)"
    r"|我(?:没有|不具备)(?:个人)?(?:情感|感情|主观意识|个人观点)",
)

# Each of its parts holds one of these: most texts hold none, which is told ten times as fast.
_HINTS = (
    "an ai", "a ai", "artificial intelligence", "language model", "virtual assistant", "just ai", "only ai", "knowledge cut",
    "my training data", "as of my", "personal ", "real-time", "to browse", "openai", "作为", "身为", "我是", "我只是", "我的", "我没有", "我不具备",
)  # fmt: skip

_REPLACED = re.compile("�|锟斤拷|烫烫烫|屯屯屯")
_WIDE_RUN = re.compile(r"[^\x00-\xff]{3,}")
_LATIN_RUN = re.compile("[\xa1-\xfe]{4,}")
_SPACES = re.compile(r"[\W_]+")
SHORTEST_ECHO = 12  # letters: a shorter prompt, such as "Hello", is answered by itself


def traits_of(messages: list[Message]) -> set[str]:
    """Those of "empty_prompt", "empty_answer", "mojibake", "html", "boilerplate" and "echo" that a conversation has."""
    asked = [one["content"][:SAMPLE] for one in messages if one["role"] == "user"]
    answers = [one["content"][:SAMPLE] for one in messages if one["role"] == "assistant"]
    found = {
        "empty_prompt": not asked or not all(map(str.strip, asked)),
        "empty_answer": not answers or not all(map(str.strip, answers)),
        "mojibake": any(is_mojibake(one["content"][:SAMPLE]) for one in messages),
        "html": any(map(has_html, asked)) or any(map(has_html, answers)),
        "boilerplate": any(map(is_boilerplate, answers)),
        "echo": any(repeats(prompt, answer) for prompt, answer in exchanges(messages)),
    }
    return {name for name, here in found.items() if here}


def exchanges(messages: list[Message]) -> Iterator[tuple[str, str]]:
    """Each question with the answer that follows it."""
    for first, second in pairwise(messages):
        if first["role"] == "user" and second["role"] == "assistant":
            yield first["content"][:SAMPLE], second["content"][:SAMPLE]


def has_html(text: str) -> bool:
    """Tags or entities outside of code."""
    if "<" not in text and "&" not in text:
        return False
    return bool(_HTML.search(_FENCED.sub("", text) if "`" in text else text))


def is_boilerplate(text: str) -> bool:
    """An assistant that speaks of itself: "As an AI language model", in English or Chinese."""
    text = text.lower()
    return any(hint in text for hint in _HINTS) and bool(_BOILERPLATE.search(text))


def repeats(prompt: str, answer: str) -> bool:
    """Whether an answer begins with its whole prompt; letters and digits alone count."""
    if not _bare(answer[:60]).startswith(_bare(prompt[:40])[:8]):  # most rows end here
        return False
    asked = _bare(prompt)
    return len(asked.encode()) >= SHORTEST_ECHO and _bare(answer).startswith(asked)


def _bare(text: str) -> str:
    return _SPACES.sub("", text.lower())


def is_mojibake(text: str) -> bool:
    """Text that was decoded by a wrong table: what ftfy can mend, what stands for lost characters, and Chinese that was
    UTF-8 read as GBK, or GBK read as Latin-1."""
    if text.isascii():
        return False
    return bool(_REPLACED.search(text)) or _ftfy_mends(text) or any(map(_utf8_as_gbk, _WIDE_RUN.findall(text))) or any(map(_gbk_as_latin, _LATIN_RUN.findall(text)))  # fmt: skip


def _ftfy_mends(text: str) -> bool:
    """What looks bad to ftfy and is better in another table: sounds in the phonetic alphabet only look bad."""
    is_bad, fix_encoding = _ftfy()
    return is_bad(text) and fix_encoding(text) != text


def _utf8_as_gbk(run: str) -> bool:
    """浣犲ソ for 你好. Honest Chinese is not UTF-8 in GBK: the first of three characters would be a rare one, and so on."""
    try:
        raw = run.encode("gb18030")
    except UnicodeEncodeError:
        return False
    try:
        told = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(raw) - error.start > 3 or error.start < 9:  # but for a last character that lost a byte
            return False
        told = raw[: error.start].decode("utf-8")
    return 2 * sum("一" <= letter <= "鿿" for letter in told) >= len(told)


def _gbk_as_latin(run: str) -> bool:
    """ÄãºÃ for 你好: pairs of letters that are common characters in GB2312 (its rows B0 to D7)."""
    pairs = [run[at : at + 2] for at in range(0, len(run) - 1, 2)]
    return 4 * sum("\xb0" <= first <= "\xd7" and second >= "\xa1" for first, second in pairs) > 3 * len(pairs)


@cache
def _ftfy() -> tuple[Any, Any]:
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return is_bad, fix_encoding
