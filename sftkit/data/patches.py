"""Changes of a data file's rows, kept beside it: cells edited and rows excluded, each of which can be taken back."""

from sftkit.data.patch_log import row_hash

__all__ = ["row_hash"]
