"""How a comparison of range estimators looks in a terminal: a table, with a bar for each estimator's signal to noise."""

from typing import TYPE_CHECKING

from rich.text import Text

from bitsmith.display import Shown
from bitsmith.display_sensitivity import bar
from bitsmith.terminal import percent, table

if TYPE_CHECKING:
    from bitsmith.analysis.compare_estimators import Estimated, EstimatorComparison


def show_estimators(found: "EstimatorComparison") -> Shown:
    """Best signal to noise first."""
    ordered = sorted(found.rows, key=lambda row: row.snr_db if row.snr_db is not None else float("-inf"), reverse=True)
    most = max((row.snr_db or 0.0 for row in ordered), default=0.0)
    labelled = found.float_top1 is not None
    columns = ["estimator", "signal to noise", "dB", *(["top-1"] if labelled else []), "same answer", "clipped", "seconds"]
    rows = [[row.estimator, signal_bar(row, most), *figures(row, labelled)] for row in ordered]
    took = "" if found.calibration_seconds is None else f"; one calibration pass of {found.calibration_seconds:.2f} s for all"
    right = f"; float top-1 {percent(found.float_top1)}" if labelled else ""
    said = f"recipe {found.recipe}, target {found.target}, {found.samples:,} samples{right}{took}"
    return [table("range estimators of activations", columns, rows, left=2), Text(said)]


def signal_bar(row: "Estimated", most: float) -> Text:
    """As long as the decibels; green near the best."""
    share = (row.snr_db or 0.0) / most if most > 0 and row.snr_db != most else float(most > 0)
    drawn = bar(share)
    drawn.style = "green" if share > 0.9 else "yellow" if share > 0.6 else "red"
    return drawn


def figures(row: "Estimated", labelled: bool) -> list[str]:
    decibels = "" if row.snr_db is None else f"{row.snr_db:.2f}"
    return [decibels, *([percent(row.top1)] if labelled else []), percent(row.agreement), percent(row.clipped), f"{row.seconds:.3f}"]
