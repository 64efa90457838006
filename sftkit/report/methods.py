"""How each table of the report was made, and after whom: for tooltips and captions."""

from __future__ import annotations

from sftkit.wording import say

# table (a property of Report): what its figures are and how their intervals are made; the source
METHODS: dict[str, tuple[str, str]] = {
    "win_rates": (
        say("Share of votes won, a tie being half a win. Wilson interval, clustered by prompt."),
        "Li et al. 2023 (AlpacaEval); Wilson 1927; Korn and Graubard 1998",
    ),
    "by_dimension": (
        say(
            "Mean scores 1 to 5 of both models on the same prompts, and their difference. Interval clustered by prompt."
        ),
        "Liang and Zeger 1986; Miller 2024",
    ),
    "length_controlled": (
        say(
            "Logistic regression on the difference of lengths, read at equal length. Interval clustered by prompt."
        ),
        "Dubois et al. 2024 (Length-Controlled AlpacaEval)",
    ),
    "strengths": (
        say(
            "Strength of every model in log-odds, ties as half wins. Sandwich interval, clustered by prompt."
        ),
        "Bradley and Terry 1952; Newman 2023",
    ),
    "rankings": (say("The same votes ranked seven ways by evalica."), "Ustalov 2025 (evalica)"),
    "agreement": (
        say(
            "Share of the same verdicts, Wilson interval; Cohen's kappa counted from both sides of every pair, BCa bootstrap. Both over prompts."
        ),
        "Zheng et al. 2023 (MT-Bench); Wilson 1927; Cohen 1960; Efron 1987",
    ),
    "score_agreement": (
        say("Cohen's kappa with quadratic weights, share of equal scores. BCa bootstrap over prompts."),
        "Cohen 1968; Efron 1987",
    ),
    "reliability": (
        say("Krippendorff's alpha for ordinal scores. BCa bootstrap over prompts."),
        "Krippendorff 2018; Efron 1987",
    ),
    "rater_cards": (
        say(
            "Severity: least squares with an effect of every answer and every rater. Shares: Wilson interval. All clustered by prompt. Seconds: median."
        ),
        "Scheffé 1959; Liang and Zeger 1986; Wilson 1927",
    ),
    "bias_card": (
        say(
            "Effects: least squares within pairs of models. Shares: Wilson interval. All clustered by prompt."
        ),
        "Dubois et al. 2024; Zheng et al. 2023",
    ),
    "calibration": (
        say("The judge's win rate corrected by human votes, weighted by the queue's sampling probabilities."),
        "Angelopoulos et al. 2023 (PPI++); Zrnic and Candès 2024",
    ),
    "sources": (
        say(
            "Bradley-Terry with severity, place and length of every judge, humans as anchor. Sandwich interval."
        ),
        "Böckenholt 2001; Laird and Ware 1982",
    ),
    "weights": (
        say("Weighted mean of dimension scores, equal weights unless chosen, safety as a gate."),
        "Dawes 1979; Lahdelma and Salminen 2001 (SMAA)",
    ),
    "rank_probabilities": (
        say(
            "Share of 4,000 draws with this rank: weights from a Dirichlet distribution around these, scores from their errors."
        ),
        "Lahdelma and Salminen 2001 (SMAA)",
    ),
}
METHODS |= dict.fromkeys(("by_task", "by_length", "pairs"), METHODS["win_rates"])
METHODS |= {
    "mean_scores": (
        say("Mean score 1 to 5 of each model. Interval clustered by prompt."),
        "Liang and Zeger 1986",
    )
}
METHODS |= {"bias": METHODS["bias_card"], "learned_weights": METHODS["weights"]}
METHODS |= {
    "plan": (
        say(
            "Prompts for the wanted power in a two-sided test at 5 %, from the share of ties and the raters' agreement so far."
        ),
        "Cohen 1988; Miller 2024; Kish 1965",
    )
}
