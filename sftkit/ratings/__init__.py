"""The one store of verdicts, human and machine: what is rated (dimensions), one verdict (Rating), the store."""

from sftkit.ratings.dimensions import DIMENSIONS, Dimension
from sftkit.ratings.rating import VERDICTS, Rating
from sftkit.ratings.store import RatingStore

__all__ = ["DIMENSIONS", "VERDICTS", "Dimension", "Rating", "RatingStore"]
