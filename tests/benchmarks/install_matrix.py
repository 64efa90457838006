"""sftkit installed as a user installs it: a wheel, in clean environments outside the checkout, on every Python it is for.

    python tests/benchmarks/install_matrix.py                      # every Python of 3.11 to 3.13 that is found; `make matrix`
    python tests/benchmarks/install_matrix.py --python /path/to/python3.12 --write

First the wheel and the source archive themselves: every file of the package is in both and nothing else, and a wheel built
from the archive is the same. Then, for each Python: a new environment; import, `sftkit --help`, a run to its end on the CPU;
curve, form and grid in a real JupyterLab 4 and a real Notebook 7 in Chromium, where a pair is rated by a key.

It needs the test tools here (playwright), a Chromium, and about 6 GB and some minutes for each Python. --folder keeps the
environments; what is there already is used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results_install.md")
PYTHONS = ("3.11", "3.12", "3.13")
DATA_FILES = (
    "sftkit/widgets/static/grid.js", "sftkit/widgets/static/grid.css", "sftkit/widgets/labels.json", "sftkit/chinese.json",
    "sftkit/report/page.html.jinja", "sftkit/report/report.css", "sftkit/judging/prices.toml", "sftkit/judging/exam.jsonl",
    "sftkit/command/words.json",
)  # fmt: skip
FRONTS = {
    "JupyterLab 4": ("jupyterlab", "LabApp", "lab/tree"),
    "Notebook 7": ("notebook", "JupyterNotebookApp", "notebooks"),
}
# Notebook 7.6 says so at its start, with or without a widget: a setting without a schema, a command of JupyterLab's alone.
NOT_OURS = (
    r"(?s)reading 'schema'\).*/static/notebook/notebook_core|Command 'filebrowser:open-path' not registered"
)
USE = """
import json, sys, time
begun = time.perf_counter()
import sftkit as sk
seconds = time.perf_counter() - begun
config = sk.SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl", max_samples=64, max_len=128, train_batch_size=16,
                      micro_train_batch_size=8, bf16=False, learning_rate=1e-3)
run = sk.launch(config)
status = run.wait(600)
assert status.state == "finished", run.log()
answers = sk.generate({"base": "data/tiny-base", "tuned": run}, "data/eval.jsonl", limit=2, max_new_tokens=8)
answers.save("answers.parquet")
import importlib.metadata as m
versions = {name: m.version(name) for name in ("torch", "deepspeed", "transformers", "jupyterlab", "notebook", "ipywidgets", "anywidget")}
print(json.dumps(dict(home=sk.__file__, seconds=seconds, steps=status.step, answers=len(answers.frame), versions=versions)))
"""
CELL = """import sftkit as sk
answers = sk.Generations.load("answers.parquet")
run = sk.load_run(next(iter(sk.list_runs("runs")["id"].map("runs/{}".format))))
display(sk.LossCurves([run]), sk.LaunchForm(run.config), sk.ComparisonGrid(answers, store=sk.RatingStore("sqlite:///NAME.db"), rater="ana"))"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", action="append", help="an interpreter to try (repeatable); left out: all that are found"
    )
    parser.add_argument("--folder", type=Path, help="keep the environments here")
    parser.add_argument("--write", action="store_true", help="write results_install.md")
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="matrix-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        wheel, said = built(folder)
        pythons = dict.fromkeys(PYTHONS) | {version_of(path): path for path in given.python or found()}
        rows = [
            tried(version, path, wheel, folder) if path else row(version, "not found here")
            for version, path in pythons.items()
        ]
    finally:
        if not given.folder:
            shutil.rmtree(folder, ignore_errors=True)
    text = table(said, rows)
    print(text)
    if given.write:
        RESULTS.write_text(text, encoding="utf-8")
    sys.exit(any("FAILED" in line for line in [*said, *rows]))


# which Pythons


def found() -> list[str]:
    """The interpreters of this machine, by name on the PATH or where pyenv and uv keep theirs."""
    kept = [Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"]
    there = []
    for version in PYTHONS:
        places = [
            path
            for place in kept
            for path in sorted(place.glob(f"*{version}.*/bin/python{version}"), reverse=True)
        ]
        there += [str(path) for path in [*places, shutil.which(f"python{version}")] if path][:1]
    return there


def version_of(python: str) -> str:
    said = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
    )
    if said.returncode:
        sys.exit(f"{python} does not run: {said.stderr}")
    return said.stdout.strip()


# the wheel and the source archive


def built(folder: Path) -> tuple[Path, list[str]]:
    """The wheel of this checkout, and what was found of it and of the source archive."""
    tools = environment(folder / "tools", sys.executable, "build")
    for place in ("dist", "tree"):
        shutil.rmtree(folder / place, ignore_errors=True)
    with subprocess.Popen(
        ["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE
    ) as git:  # what is committed
        with tarfile.open(fileobj=git.stdout, mode="r|") as archive:
            archive.extractall(folder / "tree", filter="data")
    run(tools, "-m", "build", "--sdist", "--wheel", "--outdir", folder / "dist", folder / "tree")
    (wheel,), (source,) = folder.glob("dist/*.whl"), folder.glob("dist/*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "dist", filter="data")
    unpacked = folder / "dist" / source.name.removesuffix(".tar.gz")
    run(tools, "-m", "build", "--wheel", "--outdir", folder / "dist/again", unpacked)
    (again,) = folder.glob("dist/again/*.whl")
    mine, other = contents(wheel), contents(again)
    held = {
        path.relative_to(folder / "tree").as_posix()
        for path in (folder / "tree/sftkit").rglob("*")
        if path.is_file()
    }
    packed = {name for name in mine if name.startswith("sftkit/")}
    differing = sorted(name for name in mine.keys() | other.keys() if mine.get(name) != other.get(name))
    return wheel, [
        line(f"{len(packed)} files, all that git holds of the package and nothing else", sorted(held ^ packed)),
        line(f"{len(DATA_FILES)} labels, templates, styles, bundles and data files that must be inside are", sorted(set(DATA_FILES) - packed)),
        line("a wheel built from the source archive is the same, byte for byte", differing),
    ]  # fmt: skip


def contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def line(what: str, faulty: list[str]) -> str:
    return f"- {what}: {f'FAILED {faulty[:10]}' if faulty else 'yes'}"


# one Python


def tried(version: str, python: str, wheel: Path, folder: Path) -> str:
    """A row of the table."""
    try:
        begun = time.monotonic()
        own = environment(
            folder / f"python{version}",
            python,
            str(wheel),
            "notebook>=7.4",
            constraints=True,
            fresh=("sftkit-jupyter",),
        )
        installed = time.monotonic() - begun
        place = folder / f"place{version}"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(ROOT / "data", place / "data")
        told = json.loads(run(own, "-c", USE, cwd=place).splitlines()[-1])
        assert Path(told["home"]).is_relative_to(own.parents[1]), told["home"]
        assert "Usage" in run(own.with_name("sftkit"), "--help", cwd=place)
        shown = [in_front(front, own, place) for front in FRONTS]
    except (subprocess.CalledProcessError, AssertionError, OSError) as error:
        words = getattr(error, "stderr", "") or str(error)
        return row(version, "FAILED: " + " ".join(words.split())[:600])
    versions = told["versions"]
    return row(
        run(own, "-c", "import platform; print(platform.python_version())").strip(), f"yes ({installed:.0f} s)", f"yes ({told['seconds']:.2f} s)", "yes",
        f"finished, {told['steps']} steps; {told['answers']} answers", *shown,
        ", ".join(f"{name} {versions[name]}" for name in ("torch", "deepspeed", "transformers", "ipywidgets", "anywidget")),
    )  # fmt: skip


def row(*cells: Any) -> str:
    return "| " + " | ".join([str(cell) for cell in cells] + [""] * (8 - len(cells))) + " |"


def environment(
    folder: Path, python: str, *packages: str, constraints: bool = False, fresh: tuple[str, ...] = ()
) -> Path:
    """The Python of an environment with those packages; of one that is there already, `fresh` ones are taken anew."""
    own = folder / "bin/python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["-c", str(ROOT / "constraints.txt")] if constraints else []
    if fresh:
        subprocess.run(
            [own, "-m", "pip", "uninstall", "--quiet", "--yes", *fresh], check=True, capture_output=True
        )
    if constraints:  # as the Makefile does it: a torch that the rest is then content with
        run(own, *pip, "torch")
    run(own, *pip, *packages)
    return own


def run(program: Path, *words: Any, cwd: Path | None = None) -> str:
    """What a program prints; without this checkout in sight."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL", "SFTKIT"))
    }
    told = subprocess.run(
        [str(program), *map(str, words)],
        cwd=cwd or tempfile.gettempdir(),
        env=kept,
        capture_output=True,
        text=True,
    )
    if told.returncode:
        raise subprocess.CalledProcessError(
            told.returncode, [str(program)], told.stdout, told.stdout + told.stderr
        )
    return told.stdout


# in the browser


def in_front(front: str, own: Path, place: Path) -> str:
    """A notebook with curve, form and grid, run in that front end; a pair is rated by a key."""
    from playwright.sync_api import expect, sync_playwright

    sys.path.insert(0, str(ROOT))
    from tests.browser.chromium import provide

    module, _, path = FRONTS[front]
    name = front.split()[0].lower()
    cell = {
        "cell_type": "code",
        "id": "c0",
        "metadata": {},
        "source": CELL.replace("NAME", name),
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    (place / f"{name}.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    )
    (place / f"{name}.db").unlink(missing_ok=True)
    with served(front, own, place) as (address, token), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=provide(), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error.stack or error)))
        page.set_default_timeout(180_000)
        expect.set_options(timeout=180_000)
        page.goto(f"{address}/{path}/{name}.ipynb?token={token}")
        page.wait_for_function(
            "() => window.jupyterapp?.shell && document.querySelector('.jp-Notebook .jp-CodeCell')"
        )
        failed = page.evaluate(
            "async () => { const app = window.jupyterapp; await app.restored; const panel = [...app.shell.widgets('main')]"
            ".find((w) => w.context); await panel.context.ready; await panel.sessionContext.ready;"
            "await app.commands.execute('notebook:run-all-cells');"
            "return panel.content.widgets[0].model.outputs.toJSON().map((o) => o.evalue ?? '').join('') }"
        )
        assert not failed, f"{front}: {failed}"
        curve, grid = page.locator(".sft-curves [data-points]").first, page.locator(".sftkit-grid")
        expect(curve).not_to_have_attribute("data-points", "0")
        expect(page.locator(".sft-form, .sft-launch").first).to_be_visible()
        grid.locator(".row.open .answer").first.wait_for()
        grid.locator(".bar").click(position={"x": 2, "y": 2})
        page.keyboard.press("a")
        expect(grid.locator(".count")).to_contain_text("1 of 2")
        page.screenshot(path=place / f"{name}.png")
        browser.close()
    stored = run(
        own,
        "-c",
        f"import sftkit as sk; print(sk.RatingStore('sqlite:///{name}.db').frame()['verdict'].tolist())",
        cwd=place,
    ).strip()
    errors = [error for error in errors if not re.search(NOT_OURS, error)]
    assert stored in ("['a']", "['b']") and not errors, (
        f"{front}: stored {stored}, errors on the page {errors}"
    )
    return f"{run(own, '-c', f'import {module}; print({module}.__version__)').strip()}: shown, rated"


@contextmanager
def served(front: str, own: Path, place: Path) -> Iterator[tuple[str, str]]:
    """That front end as a server of its own, on a free port."""
    from sftkit.runs import hardware

    module, app, _ = FRONTS[front]
    token, port, home = secrets.token_hex(8), hardware.free_port(), place / f"{module}-home"
    where = {
        name: str(home / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL", "SFTKIT"))
    }
    options = [
        f"--ServerApp.port={port}",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={place}",
        f"--{app}.expose_app_in_browser=True",
    ]
    with (place / f"{module}.log").open("w") as log:
        server = subprocess.Popen(
            [own, "-m", module, "--no-browser", "--allow-root", *options],
            cwd=place,
            env=kept | where,
            stdout=log,
            stderr=log,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 180
            while True:
                try:
                    urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < deadline, (
                        place / f"{module}.log"
                    ).read_text()[-800:]
                    time.sleep(0.2)
            yield address, token
        finally:
            server.terminate()
            server.wait(60)


# the table


def table(said: list[str], rows: list[str]) -> str:
    head = (
        "Python",
        "installed",
        "import",
        "`sftkit --help`",
        "a run, and answers of base and tuned",
        *FRONTS,
        "with",
    )
    return "\n".join([
        "# Where it installs", "",
        "Written by `python tests/benchmarks/install_matrix.py --write`: the wheel in a new environment outside the checkout for each "
        "Python, with constraints.txt; data/tiny-base trained and asked on the CPU; a notebook with curve, form and grid run in "
        "Chromium, and a pair rated by a key, which must then be in the ratings database.", "",
        "The wheel and the source archive:", "", *said, "",
        row(*head), "|---" * 8 + "|", *rows, "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
