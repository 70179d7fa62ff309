"""What a comparison of ways to compute in C found, as plain rows."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class CVariant:
    """One way to compute.

    target           what it was made with, as `bitsmith quantize --target` takes it
    board            the smallest that has room for it, or 'host'
    flash, ram       bytes: of the whole executable with its start-up code on a chip, of tables and of the arena alone on this machine
    stack            bytes; None on this machine
    instructions     of the longest inference; None on this machine
    top1, agreement  shares of right answers, where the test data have labels, and of the float network's answers
    snr_db           signal to noise of the outputs, against the float network
    apart            outputs of the chip that are not those of this machine; None on this machine
    """

    name: str
    target: str
    board: str
    flash: int
    ram: int
    stack: int | None
    instructions: int | None
    top1: float | None
    agreement: float | None
    snr_db: float | None
    apart: int | None = None


@dataclass(frozen=True)
class CComparison:
    """on       'host' or 'cortex-m7'
    samples     that accuracy was measured with, in C, on this machine
    float_top1  of the network in onnxruntime
    left_out    why there is no row for activation functions by math.h; empty where there is one, or nothing to compute
    """

    on: str
    samples: int
    float_top1: float | None
    rows: tuple[CVariant, ...]
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}
