"""Rows from the hub, through `datasets`: inside a training run only, since it needs the network and takes its time."""

from __future__ import annotations

import re

from sftkit.data.tables import RowTable, choose_split
from sftkit.errors import DataError


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
    from huggingface_hub.utils import GatedRepoError, RepositoryNotFoundError

    refusal = _refusal(name)
    token = get_token() or ""
    if isinstance(refusal, GatedRepoError):
        who = "the account of the token in HF_TOKEN has no access yet" if token else "HF_TOKEN is not set"
        return f"is gated, and {who}. Ask for access on its page on the hub, and put a token of that account into the environment as HF_TOKEN."  # fmt: skip
    if token and getattr(refusal and refusal.response, "status_code", 0) == 401:
        return "cannot be read: the hub does not know the token in HF_TOKEN, or it may not read this data set. Make a new one, or unset HF_TOKEN for public data."  # fmt: skip
    if isinstance(refusal, RepositoryNotFoundError):
        private = "one that HF_TOKEN may not see" if token else "a private one, which needs HF_TOKEN in the environment"  # fmt: skip
        return f"is no data set on the hub, or {private}. Check the name; a file of this machine is named with its suffix."  # fmt: skip
    if "Config name is missing" in str(error):
        named = re.search(r"\[(.*?)\]", str(error))
        there = f": {named[1]}" if named else ""
        return f"has several subsets{there}. Name one as {name}@SUBSET."
    words = f"{type(error).__name__}: {error}"
    return f"could not be loaded from the hub: {words.replace(token, '…') if token else words}"


def _refusal(name: str) -> Exception | None:
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
