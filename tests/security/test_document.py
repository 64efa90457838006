"""docs/security.md names only what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_it_names_is_there():
    names = set(re.findall(r"`((?:tests/|widgets/)?[\w/.]+\.(?:py|ts))`", TEXT)) - {"torch.py"}
    assert len(names) > 10
    for name in names:
        place = ROOT / name if "/" in name else Path(__file__).parent / name
        assert place.is_file(), name


def test_every_test_of_security_is_named():
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path.name in TEXT or path.name == Path(__file__).name, path.name
