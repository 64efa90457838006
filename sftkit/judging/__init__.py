"""Judges: a language model over an OpenAI-compatible endpoint, and the offline rule that checks references."""

from sftkit.judging.client import CostEstimate, Judge
from sftkit.judging.reference import ReferenceJudge, accuracy

__all__ = ["CostEstimate", "Judge", "ReferenceJudge", "accuracy"]
