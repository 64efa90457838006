"""Find a Chromium for the browser test, or fetch one.

    python tests/browser/chromium.py      # makes sure there is one; `make test` calls this once

In this order: SFTKIT_BROWSER, an installed Chromium or Chrome, Playwright's own (downloaded), Debian's (when root).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
DOWNLOAD_SECONDS = 300  # a download that is going nowhere must not hold up the tests


def find() -> str | None:
    """Path of a browser that is there already, or None."""
    if chosen := os.environ.get("SFTKIT_BROWSER"):
        return chosen
    for name in INSTALLED:
        if path := shutil.which(name):
            return path
    return MAC_CHROME if Path(MAC_CHROME).exists() else _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def provide() -> str:
    """Path of a browser, fetched if need be. Exits with a clear word when none can be had."""
    if path := find():
        return path
    print("No Chromium or Chrome here; fetching Playwright's own")
    _try([sys.executable, "-m", "playwright", "install", "chromium"])
    if path := find():
        return path
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("That failed; installing Debian's chromium")
        _try(["apt-get", "update", "-qq"])
        _try(["apt-get", "install", "-y", "-qq", "chromium"])
        if path := find():
            return path
    sys.exit(
        "The browser test needs Chromium or Chrome, and none could be fetched. Install one (Debian and Ubuntu: "
        "apt-get install chromium) or name it in SFTKIT_BROWSER, then call make test again."
    )


def _try(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(
            command, timeout=DOWNLOAD_SECONDS, env=environment, stdout=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{command[0]} took longer than {DOWNLOAD_SECONDS} s; given up")


if __name__ == "__main__":
    print(f"browser for the tests: {provide()}")
