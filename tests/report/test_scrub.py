"""No secret and no path of the machine leaves it in a report."""

from __future__ import annotations

import pytest

from sftkit.report.scrub import Scrub

ENVIRONMENT = {"OPENAI_API_KEY": "plain-but-secret-42", "HF_TOKEN": "tok3n-0123456789", "SHELL": "/bin/bash", "SHORT_TOKEN": "abc", "SSH_KEY": "/home/ana/.ssh/id"}  # fmt: skip


@pytest.fixture
def scrub():
    return Scrub("/home/ana/project", home="/home/ana", environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/home/ana/project/data/a.jsonl", "data/a.jsonl"),
        ("/home/ana/project", "."),
        ("/home/ana/models/x, /home/ana/project/b", "~/models/x, b"),
        ("'/home/ana'", "'~'"),
        (
            "/home/anabel/x /data/home/ana/x /home/ana/project2/y",
            "/home/anabel/x /data/home/ana/x ~/project2/y",
        ),
        ("/data/rows.jsonl", "/data/rows.jsonl"),
        ("OPENAI said plain-but-secret-42!", "OPENAI said …!"),
        ("tok3n-0123456789tok3n-0123456789", "……"),
        ("abc /bin/bash", "abc /bin/bash"),
        ("hf_abcdefghijklmnopqrstuv and sk-proj-abcdefghijklmnop", "… and …"),
        (
            "postgresql://ana:pass@db/x https://tok@git.example/a",
            "postgresql://…@db/x https://…@git.example/a",
        ),
        ("https://x/y?a=1&token=zzz&b=2", "https://x/y?a=1&token=…&b=2"),
        ("https://x/y?X-Amz-Signature=zzz", "https://x/y?X-Amz-Signature=…"),
    ],
)
def test_what_is_taken_out(scrub, before, after):
    assert scrub(before) == after


def test_values_in_values(scrub):
    value = {"a": ["/home/ana/project/x", ("tok3n-0123456789", 3)], "n": None}
    assert scrub.deep(value) == {"a": ["x", ("…", 3)], "n": None}


def test_a_home_at_the_root_takes_nothing_out():
    assert Scrub("/", home="/", environment={})("/etc/x and /") == "/etc/x and /"
