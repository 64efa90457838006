"""Real JupyterLab and a real Chromium for the browser test.

    lab        JupyterLab, with a folder for this test alone that holds a copy of the notebooks and the data
    page       a browser page; it notes every request that leaves the machine and every error on the page
    notebook   Notebook(page, lab): open, run cells, restart the kernel, take a picture

SFTKIT_SHOTS=folder keeps screenshots; SFTKIT_THEME=dark takes them in the dark theme.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from sftkit.runs import hardware, load_run

ROOT = Path(__file__).parents[2]
FLAGS = ("--no-sandbox", "--disable-quic", "--disable-background-networking")
START_LIMIT = 120  # seconds that JupyterLab may take to answer: after a fresh install nothing is compiled yet
PATIENCE = 60_000  # milliseconds that anything on the page may take; an answer comes in a moment, except the first one
DARK = os.environ.get("SFTKIT_THEME") == "dark"
SETTINGS = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "apputils-extension/themes": {"theme": "JupyterLab Dark" if DARK else "JupyterLab Light"},
}
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.port_retries=0",
    "--LabApp.expose_app_in_browser=True",
    "--JupyterNotebookApp.expose_app_in_browser=True",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


@dataclass
class Server:
    """JupyterLab's process, shared by all tests: it takes seconds to start."""

    address: str
    token: str
    root: Path
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen | None = None

    def ask(self, path: str, method: str = "GET") -> Any:
        """What the server answers on its REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer) if method == "GET" else None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.ask("api/status")
                return
            except OSError:
                time.sleep(0.1)
        told = self.log.read_text(errors="replace")[-3000:]
        raise AssertionError(f"JupyterLab did not start:\n{told}")

    def kill(self) -> None:
        """End it as a crash would; its kernels see that it is gone, and leave."""
        self.process.kill()
        self.process.wait(timeout=20)

    def end(self) -> None:
        """End it with its kernels."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass
class Lab:
    """JupyterLab as one test has it: `folder` is that test's own. `kill` and `start` are the server's."""

    server: Server
    folder: Path

    def address_of(self, path: str) -> str:
        """Where a notebook of this test's folder is opened, in a workspace without anything else."""
        inside = (self.folder / path).relative_to(self.server.root).as_posix()
        return f"{self.server.address}/lab/tree/{inside}?token={self.server.token}&reset"

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def end(self) -> None:
        """End the runs, which would outlive everything else, as they should, then the kernels."""
        for record in (self.folder / "runs").glob("*/run.json"):
            load_run(record.parent).kill()
        for session in self.server.ask("api/sessions"):
            self.server.ask(f"api/sessions/{session['id']}", "DELETE")


@dataclass
class Outside:
    """A proxy that lets nothing through and notes who asked: what server and kernels want from beyond the machine."""

    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Outside:
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        proxies = {name: address for kind in ("http_proxy", "https_proxy") for name in (kind, kind.upper())}
        return {**proxies, "no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:  # closed
                return
            with caller:
                self.asked.append(caller.recv(1000).split(b"\r\n")[0].decode(errors="replace"))


@pytest.fixture(scope="session")
def browser_path() -> str:
    spec = spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
    chromium = module_from_spec(spec)
    spec.loader.exec_module(chromium)
    path = chromium.find()
    assert path, "no Chromium or Chrome: `python tests/browser/chromium.py` fetches one (make test calls it)"
    return path


@pytest.fixture(scope="session")
def proxy() -> Iterator[Outside]:
    with Outside() as proxy:
        yield proxy


@pytest.fixture
def outside(proxy: Outside) -> Outside:
    proxy.asked.clear()
    return proxy


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, proxy: Outside) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("lab")
    (root := home / "root").mkdir()
    token, port = secrets.token_hex(16), hardware.free_port()
    where = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
    command = [sys.executable, "-m", "jupyterlab", *OPTIONS, *where]
    environment = {**os.environ, **_own_places(home / "jupyter"), **proxy.environment}
    server = Server(f"http://127.0.0.1:{port}", token, root, command, environment, home / "lab.log")
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture
def lab(server: Server, outside: Outside, request: pytest.FixtureRequest) -> Iterator[Lab]:
    folder = server.root / re.sub(r"\W+", "-", request.node.name)
    for name in ("notebooks", "data"):
        ignored = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    lab = Lab(server, folder)
    try:
        yield lab
    finally:
        lab.end()


def _own_places(home: Path) -> dict[str, str]:
    """Environment with which JupyterLab and its kernels neither see nor touch the settings of this user."""
    settings = home / "lab/user-settings"
    for name, values in SETTINGS.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    places |= {"JUPYTERLAB_WORKSPACES_DIR": "lab/workspaces", "IPYTHONDIR": "ipython"}
    return {
        **{name: str(home / place) for name, place in places.items()},
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
    }


@dataclass
class Watched:
    """What was seen on a page: addresses beyond this machine, and errors."""

    left: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def request(self, request: Any) -> None:
        address = urlparse(request.url)
        if address.scheme not in ("data", "blob") and address.hostname not in ("127.0.0.1", "localhost"):
            self.left.append(request.url)


@pytest.fixture
def page(browser_path: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, headless=True, args=list(FLAGS))
        context = browser.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme="dark" if DARK else "light"
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.watched = watched = Watched()
        page.on("request", watched.request)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        failed_before = request.session.testsfailed
        yield page
        if request.session.testsfailed > failed_before:
            page.screenshot(path=tmp_path / "failed.png")
            print(f"The page as it was: {tmp_path / 'failed.png'}; errors on it: {watched.errors}")
        browser.close()


class Notebook:
    """A notebook in JupyterLab, as a person has it on the screen. Cells are found by a piece of their source."""

    def __init__(self, page: Page, lab: Lab):
        self.page, self.lab = page, lab

    def write(self, *cells: str, path: str = "notebooks/test.ipynb") -> None:
        """Make a notebook of these cells and open it."""
        made = [
            {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
            for number, source in enumerate(cells)
        ]  # fmt: skip
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        told = {"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (self.lab.folder / path).write_text(json.dumps(told), encoding="utf-8")
        self.open(path)

    def open(self, path: str) -> None:
        """Open the notebook and wait until its kernel answers."""
        self.page.goto(self.lab.address_of(path))
        self.wait(path)

    def wait(self, path: str = "") -> None:
        """Wait until the notebook is there with a kernel, for instance after a reload of the page."""
        self.page.wait_for_function("() => window.jupyterapp?.shell")
        self._do("await panel.context.ready; await panel.sessionContext.ready;", panel_of=path)
        self.page.locator(".jp-Notebook").wait_for()

    @property
    def cells(self) -> list[str]:
        """The source of every cell."""
        return self._do("return cells.map((cell) => cell.model.sharedModel.getSource())")

    def _do(self, code: str, argument: Any = None, panel_of: str = "") -> Any:
        """JavaScript with `app`, `panel` (the notebook's), `cells` and `argument` at hand; its value comes back."""
        return self.page.evaluate(
            """async ([code, argument, path]) => {
                const app = window.jupyterapp;
                await app.restored;
                const find = () => [...app.shell.widgets('main')].find((w) => w.context && w.content?.widgets);
                while (!find()) await new Promise((done) => setTimeout(done, 50));
                const panel = find();
                const cells = panel.content.widgets;
                return await new Function('app', 'panel', 'cells', 'argument',
                    `return (async () => { ${code} })()`)(app, panel, cells, argument);
            }""",
            [code, argument, panel_of],
        )

    def index(self, source: str) -> int:
        """The number of the code cell with `source` in it; there must be just one."""
        texts = self._do(
            "return cells.map((c) => c.model.type === 'code' ? c.model.sharedModel.getSource() : '')"
        )
        found = [number for number, text in enumerate(texts) if source in text]
        assert len(found) == 1, f"{len(found)} cells with {source!r}"
        return found[0]

    def run(self, source: str, until: str | None = None) -> None:
        """Run the cell with `source` in it, or all from it to before the one with `until`. Fails on a cell's error."""
        first = self.index(source)
        for number in range(first, self.index(until) if until else first + 1):
            fine = self._do(
                "panel.content.activeCellIndex = argument; panel.content.deselectAll();"
                "return await app.commands.execute('notebook:run-cell')",
                number,
            )
            assert fine is not False, f"cell {number} failed:\n{self.output(number)}"

    def start(self, source: str) -> None:
        """Begin to run the cell with `source` in it, without waiting for its end."""
        self._do(
            "panel.content.activeCellIndex = argument; panel.content.deselectAll();"
            "void app.commands.execute('notebook:run-cell')",
            self.index(source),
        )

    def output(self, cell: int | str) -> str:
        """What a cell shows, as text."""
        number = cell if isinstance(cell, int) else self.index(cell)
        return self._do(
            "return (cells[argument].model.outputs?.toJSON() ?? []).map((o) => o.text ?? o.traceback?.join('\\n') "
            "?? o.data?.['text/plain'] ?? '').flat().join('\\n')",
            number,
        )

    def area(self, source: str) -> Any:
        """The output of the cell with `source` in it, on the page and scrolled to."""
        number = self.index(source)
        self._do("await panel.content.scrollToItem(argument, 'start')", number)
        return self.page.locator(f'.jp-Notebook [data-windowed-list-index="{number}"] .jp-Cell-outputArea')

    @property
    def cell_runs(self) -> bool:
        """Whether a cell is running. (The kernel's own "busy" flickers with every message of a widget.)"""
        return self._do("return cells.some((cell) => cell.model.executionState === 'running')")

    def restart(self) -> None:
        """Restart the kernel, as its menu does, and wait until it answers."""
        self._do(
            "await panel.sessionContext.session.kernel.restart(); await panel.sessionContext.session.kernel.info"
        )

    def save(self) -> None:
        self._do("await panel.context.save()")

    def shot(self, name: str, what: Any = None) -> None:
        """A picture of `what` (a locator; else of the page), where SFTKIT_SHOTS says."""
        if folder := os.environ.get("SFTKIT_SHOTS"):
            path = Path(folder) / f"{name}{'-dark' if DARK else ''}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            (what or self.page).screenshot(path=str(path))


@pytest.fixture
def notebook(page: Page, lab: Lab) -> Notebook:
    return Notebook(page, lab)
