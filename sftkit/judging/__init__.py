"""Judges: a language model over an OpenAI-compatible endpoint, and the offline rule that checks references."""

from sftkit.judging.judge import Judge
from sftkit.judging.money import CostEstimate
from sftkit.judging.panel import Panel
from sftkit.judging.protocol import Protocol
from sftkit.judging.reference import ReferenceJudge, accuracy
from sftkit.judging.replay import diff, replay
from sftkit.judging.simulated import simulated_votes

__all__ = [
    "CostEstimate",
    "Judge",
    "Panel",
    "Protocol",
    "ReferenceJudge",
    "accuracy",
    "diff",
    "replay",
    "simulated_votes",
]
