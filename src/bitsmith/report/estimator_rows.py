"""What a comparison of range estimators found, as plain rows."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimated:
    """What one estimator makes of a network.

    top1, agreement   shares of right answers, where the test data have labels, and of the float network's answers
    snr_db            signal to noise of the outputs, against the float network
    clipped           share of all numbers counted in calibration that lie beyond the codes of their value
    seconds           for the whole plan, once statistics are there
    """

    estimator: str
    top1: float | None
    agreement: float | None
    snr_db: float | None
    clipped: float
    seconds: float

    @property
    def name(self) -> str:
        return self.estimator


@dataclass(frozen=True)
class EstimatorComparison:
    """recipe, target, samples   what was asked, and how many samples of the test data were run
    float_top1           of the network in float
    calibration_seconds  for the one pass that serves all; None where statistics were given
    rows                 one for each estimator
    """

    recipe: str
    target: str
    samples: int
    float_top1: float | None
    calibration_seconds: float | None
    rows: tuple[Estimated, ...]

    @property
    def best(self) -> Estimated:
        """The one with the best signal to noise (accuracy of few samples says less)."""
        return max(self.rows, key=lambda row: row.snr_db if row.snr_db is not None else float("-inf"))

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows], "best": self.best.estimator}
