"""Rows from the hub, through `datasets`: inside a training run only, since it needs the network and takes its time."""

from __future__ import annotations

import re
from typing import Any

from sftkit.data.tables import RowTable, choose_split
from sftkit.errors import DataError
from sftkit.wording import say


def hub_table(source: str, wanted: str | None) -> RowTable:
    """The rows of one split of `owner/name`, or of its part `owner/name@part`: a subset, else a folder (`data_dir`).

    Raises `DataError` that says what to do: for a gated or missing data set, a missing split, no network.
    """
    import datasets  # 0.7 s, and only here

    name, _, part = source.partition("@")
    try:
        subset = part and part in datasets.get_dataset_config_names(name)
        where = {} if not part else {"name": part} if subset else {"data_dir": part}
        parts = datasets.load_dataset(name, **where)
    except Exception as error:
        raise DataError(_reason(error, name), file=source) from None
    split = choose_split(list(parts), wanted, source)
    return RowTable(parts[split].data.table)


def _reason(error: Exception, name: str) -> str:
    """Why loading failed, in words that say what to do. No token is ever in them."""
    from huggingface_hub import get_token

    refusal = _refusal(name)
    token = get_token() or ""
    reply = refusal and refusal.response
    if reply is not None and (words := refused("data set", reply.status_code, reply.headers.get("X-Error-Code", ""), token=bool(token))):  # fmt: skip
        return words
    if "Config name is missing" in str(error):
        named = re.search(r"\[(.*?)\]", str(error))
        there = f": {named[1]}" if named else ""
        return f"has several subsets{there}. Name one as {name}@SUBSET."
    words = f"{type(error).__name__}: {error}"
    return f"could not be loaded from the hub: {words.replace(token, '…') if token else words}"


def refused(kind: str, status: int, code: str, *, token: bool) -> str:
    """What a refusal of the hub means, and what to do; empty where it is none. `kind`: "model" or "data set"; `code`:
    its header X-Error-Code; `token`: whether one was sent.
    """
    if code == "GatedRepo" or status == 403:
        who = (
            say("the account of the token in HF_TOKEN has no access yet")
            if token
            else say("HF_TOKEN is not set")
        )
        return say("is gated, and {who}. Ask for access on its page on the hub, and put a token of that account into the environment as HF_TOKEN.", who=who)  # fmt: skip
    if token and status == 401:
        return say("cannot be read: the hub does not know the token in HF_TOKEN, or it may not read this {kind}. Make a new one, or unset HF_TOKEN for what is public.", kind=say(kind))  # fmt: skip
    if code == "RepoNotFound" or (status in (401, 404) and not code):
        private = say("one that HF_TOKEN may not see") if token else say("a private one, which needs HF_TOKEN in the environment")  # fmt: skip
        return say("is no {kind} on the hub, or {private}. Check the name; what is on this machine is named by its path.", kind=say(kind), private=private)  # fmt: skip
    return ""


def _refusal(name: str) -> Any:
    """What the hub itself says of our access to a data set; `datasets` drops it. None where it grants it or is silent."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import HfHubHTTPError

    try:
        HfApi().auth_check(name, repo_type="dataset")
    except HfHubHTTPError as error:
        return error
    except Exception:  # no network, say: then the first error tells more
        return None
    return None
