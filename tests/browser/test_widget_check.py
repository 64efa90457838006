"""The check of widgets turns green when page and kernel have answered each other, in light and in dark."""

from __future__ import annotations

import re

from playwright.sync_api import expect


def test_page_and_kernel_answer_each_other(notebook, page):
    notebook.write("import sftkit as sk", "check = sk.WidgetCheck()\ncheck", "check.answered")
    notebook.run("import", until="check.answered")
    line = notebook.area("check = ").locator(".sft-widget-check")
    expect(line).to_have_class(re.compile("works"))
    expect(line).to_have_text(re.compile(r"✓ Widgets work: .* \([\d,]+ ms\)"))
    notebook.shot("widget-check", line)
    notebook.run("check.answered")
    assert notebook.output("check.answered") == "True"
    assert not page.watched.errors and not page.watched.left
