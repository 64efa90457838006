"""Which test provokes which check of preflight: `@provokes("learning_rate_far_out")` enters it, and sees that it does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sftkit.runs import findings

PROVOKED: dict[str, list[str]] = {}  # name of a check -> names of the tests that provoke it


def provokes(*keys: str) -> Callable[[Callable], Callable]:
    """A test that fails unless each of these checks finds something while it runs. A check that breaks finds nothing."""

    def enter(test: Callable) -> Callable:
        for key in keys:
            PROVOKED.setdefault(key, []).append(test.__name__)

        @functools.wraps(test)
        def watched(*args: Any, **kwargs: Any) -> None:
            made: set[str] = set()
            check, settings = findings.Check.findings, findings._from_fault

            def seen(self: findings.Check, look: Any) -> list[findings.Finding]:
                found = check(self, look)
                made.update(one.key for one in found if "could not be made" not in one.message)
                return found

            def fault(one: Any) -> findings.Finding:
                made.add(findings.SETTINGS)
                return settings(one)

            findings.Check.findings, findings._from_fault = seen, fault
            try:
                test(*args, **kwargs)
            finally:
                findings.Check.findings, findings._from_fault = check, settings
            assert set(keys) <= made, f"not provoked: {sorted(set(keys) - made)}"

        return watched

    return enter
