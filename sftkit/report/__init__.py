"""Who won, by how much, how sure that is, and how far the raters agree: estimates, tables, figures, one HTML file."""

from sftkit.report.agreement import (
    agreement,
    cohen_kappa,
    fleiss_kappa,
    human_ceiling,
    krippendorff_alpha,
    pairwise_kappa,
)
from sftkit.report.bias import bias_card
from sftkit.report.calibration import calibrated_win_rate, prediction_powered, votes_needed
from sftkit.report.estimates import Estimate, paired_difference, win_rate
from sftkit.report.length import length_controlled_win_rate
from sftkit.report.planning import detectable, pilot, plan
from sftkit.report.report import Report
from sftkit.report.sources import sources
from sftkit.report.strength import bradley_terry, pair_matrix, rankings
from sftkit.report.weights import learned_weights, rank_probabilities, ranking, smallest_swap

__all__ = [
    "Estimate",
    "Report",
    "agreement",
    "bias_card",
    "bradley_terry",
    "calibrated_win_rate",
    "cohen_kappa",
    "detectable",
    "fleiss_kappa",
    "human_ceiling",
    "krippendorff_alpha",
    "learned_weights",
    "length_controlled_win_rate",
    "pair_matrix",
    "paired_difference",
    "pairwise_kappa",
    "pilot",
    "plan",
    "prediction_powered",
    "rank_probabilities",
    "ranking",
    "rankings",
    "smallest_swap",
    "sources",
    "votes_needed",
    "win_rate",
]
