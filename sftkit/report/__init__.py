"""Who won, by how much, how sure that is, and how far the raters agree: estimates, tables, figures, one HTML file."""

from sftkit.report.agreement import agreement
from sftkit.report.estimates import Estimate, win_rate
from sftkit.report.report import Report

__all__ = ["Estimate", "Report", "agreement", "win_rate"]
