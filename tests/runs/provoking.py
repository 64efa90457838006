"""Which test provokes which check of preflight: `@provokes("learning_rate_far_out")` enters it, and sees that it does,
and that all that is found can be said in Chinese."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from sftkit.runs import findings
from sftkit.wording import in_language

PROVOKED: dict[str, list[str]] = {}  # name of a check -> names of the tests that provoke it


def only_english(words: str) -> bool:
    """Whether a finding's words have no Chinese."""
    return bool(words) and not re.search("[一-鿿]", in_language(words, "zh"))


def provokes(*keys: str) -> Callable[[Callable], Callable]:
    """A test that fails unless each of these checks finds something while it runs. A check that breaks finds nothing."""

    def enter(test: Callable) -> Callable:
        for key in keys:
            PROVOKED.setdefault(key, []).append(test.__name__)

        @functools.wraps(test)
        def watched(*args: Any, **kwargs: Any) -> None:
            made: set[str] = set()
            english: list[str] = []
            check, settings = findings.Check.findings, findings._from_fault

            def seen(self: findings.Check, look: Any) -> list[findings.Finding]:
                found = check(self, look)
                made.update(one.key for one in found if "could not be made" not in one.message)
                english.extend(words for one in found for words in (one.message, one.fix_label) if only_english(words))  # fmt: skip
                return found

            def fault(one: Any) -> findings.Finding:
                made.add(findings.SETTINGS)
                return settings(one)

            findings.Check.findings, findings._from_fault = seen, fault
            try:
                test(*args, **kwargs)
            finally:
                findings.Check.findings, findings._from_fault = check, settings
            assert not english, f"not said in Chinese: {english}"
            assert set(keys) <= made, f"not provoked: {sorted(set(keys) - made)}"

        return watched

    return enter
