"""The package as a whole: light to import, no torch in the kernel, and a wheel that works elsewhere without Node."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import sftkit as sk

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "deepspeed", "datasets", "accelerate"}


def python(code: str, **options) -> str:
    """Standard output of `code` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_takes_less_than_half_a_second():
    def seconds() -> float:
        started = time.perf_counter()
        python("import sftkit; sftkit.SFTConfig")
        return time.perf_counter() - started

    bare = min(_timed("pass") for _ in range(3))
    assert min(seconds() for _ in range(3)) - bare < 0.5


def _timed(code: str) -> float:
    started = time.perf_counter()
    python(code)
    return time.perf_counter() - started


def test_every_public_name_is_there_and_none_brings_torch():
    code = f"""
import sys, sftkit
for name in sftkit.__all__:
    getattr(sftkit, name)
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    assert python(code).strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        sk.nonsense  # noqa: B018


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)
    return next(folder.glob("sftkit_jupyter-*.whl"))


def test_the_wheel_carries_the_widgets_and_nothing_that_does_not_belong(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for file in (
        "sftkit/widgets/static/grid.js",
        "sftkit/widgets/static/grid.css",
        "sftkit/widgets/labels.json",
    ):
        assert file in names
    strangers = [name for name in names if not name.startswith(("sftkit/", "sftkit_jupyter-"))]
    assert not strangers


def test_the_wheel_gives_a_working_form_and_grid_elsewhere(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(command, check=True, timeout=300)
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
import sftkit as sk
import pandas as pd
form = sk.LaunchForm(sk.SFTConfig(pretrain="m", dataset="d.jsonl"))
rows = [{"prompt": "p", "model": m, "response": "r"} for m in ("base", "tuned")]
answers = sk.Generations.from_frame(pd.DataFrame(rows))
grid = sk.ComparisonGrid(answers, store=sk.RatingStore("sqlite:///r.db"), rater="ana")
print(json.dumps({"home": sk.__file__, "code": form.to_code(), "loader": len(str(grid._esm)), "bundle": len(grid._packed)}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(site)], cwd=elsewhere, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["home"].startswith(str(site))
    assert "d.jsonl" in result["code"]
    assert result["bundle"] > 10_000 and result["loader"] > 500
