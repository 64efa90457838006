"""The pages that people read first: they say the same in both languages, and lead nowhere that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]  # fmt: skip
LANGUAGE = re.compile(r', lang="zh"')
LINK = re.compile(r"\]\(([^)#\s]+)")


def blocks(page: str) -> list[list[str]]:
    """The code of each fenced block, line by line, without comments and without the choice of a language."""
    found = re.findall(r"```\w*\n(.*?)```", page, re.S)
    lines = [[LANGUAGE.sub("", line.split("#")[0]).strip() for line in block.splitlines()] for block in found]
    return [[re.sub(r"<[^>]*>", "<>", line) for line in block if line] for block in lines]


def shape(page: str) -> list[tuple[str, int]]:
    """Headings by their depth and tables by their columns, in their order."""
    prose = re.sub(r"```.*?```", "", page, flags=re.S)
    kinds = [("#", len(line.split()[0])) if line.startswith("#") else ("|", line.count("|")) for line in prose.splitlines() if line.startswith(("#", "|"))]  # fmt: skip
    return kinds


def test_both_languages_have_the_same_parts_and_the_same_code():
    english, chinese = (path.read_text(encoding="utf-8") for path in PAGES[:2])
    assert shape(english) == shape(chinese)
    assert [part[:1] for part in blocks(english)] == [part[:1] for part in blocks(chinese)]
    assert blocks(english)[1] == blocks(chinese)[1], "what a user types"
    numbers = {tuple(sorted(re.findall(r"\b\d,\d{3}\b|\b0\.\d\d\b", page))) for page in (english, chinese)}
    assert len(numbers) == 1, "measured figures are the same"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for link in LINK.findall(text):
        if "://" not in link:
            assert (path.parent / link).exists(), link


def test_the_main_job_is_reached_within_sixty_words():
    before = (ROOT / "README.md").read_text(encoding="utf-8").split("make demo")[0]
    assert len(before.split()) <= 60
