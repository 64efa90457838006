"""Preflight checks of the hub: whether what the run will fetch from it is there and may be read. The only network here.

A token is sent to the hub alone, and is in no message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from sftkit.data import is_hub_id, is_hub_source
from sftkit.data.hub import refused
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import say

TIMEOUT = 4.0  # seconds; a hub that is slower is not said to be away
# What is asked of a repository, by its kind: a small file of a model, the right to read a data set.
ASKED = {"model": "{name}/resolve/main/config.json", "data set": "api/datasets/{name}/auth-check"}


@check("device")
def the_hub_answers(look: Look) -> Iterator[Finding]:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return
    for field, kind, name in _fetched(look):
        level, words = _answer(kind, name)
        # Ranks on other hosts may reach what this one does not.
        if level == "stop" and "cannot be reached" in words and look.config.launcher != "local":
            level = "warn"
        if level:
            yield Finding(level, field, words)


def _fetched(look: Look) -> Iterator[tuple[str, str, str]]:
    """(setting, kind, name) of everything that is not on this machine yet."""
    name = look.config.pretrain
    if look.model_files is None and is_hub_id(name):
        yield "pretrain", "model", name
    for field, split in look.splits.items():
        for source in split.sources:
            if is_hub_source(source.name):
                yield field, "data set", source.name.partition("@")[0]


def _answer(kind: str, name: str) -> tuple[str, str]:
    """Level and words of what is wrong; two empty texts where nothing is."""
    import httpx  # these two only where something has to be fetched
    from huggingface_hub import get_token

    token = get_token()
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{ASKED[kind].format(name=name)}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        reply = httpx.request("HEAD" if kind == "model" else "GET", url, headers=headers, timeout=TIMEOUT)
    except httpx.TimeoutException:
        return "warn", say("{name} has to be fetched, and the hub has not answered in {seconds:g} seconds.", name=name, seconds=TIMEOUT)  # fmt: skip
    except httpx.HTTPError as error:
        return "stop", say("{name} has to be fetched, and the hub at {endpoint} cannot be reached ({error}). Give a folder of this machine, or mend the network.", name=name, endpoint=endpoint, error=type(error).__name__)  # fmt: skip
    code = reply.headers.get("X-Error-Code", "")
    if words := refused(kind, reply.status_code, code, token=bool(token)):
        return "stop", say("{name} {words}", name=name, words=words)
    if code == "EntryNotFound":
        return "stop", say(
            "{name} is on the hub, but without a config.json: it is no transformers model.", name=name
        )
    if reply.status_code >= 500:
        return "warn", say("{name} has to be fetched, and the hub is in trouble (status {status}).", name=name, status=reply.status_code)  # fmt: skip
    return "", ""
