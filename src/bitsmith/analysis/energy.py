"""What arithmetic costs in energy and silicon: operation counts times published figures of each operation.

Horowitz 2014, 'Computing's energy problem (and what we can do about it)', ISSCC, figure 1.1.9: a 45 nm process at 0.9 V. Arithmetic
alone: what memory takes is not counted, and it often takes more.
"""

from dataclasses import dataclass

SOURCE = "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, figure 1.1.9 (45 nm)"


@dataclass(frozen=True)
class Cost:
    """Of one multiply and one add: picojoule, and square micrometres of the circuits."""

    multiply_energy: float
    add_energy: float
    multiply_area: float
    add_area: float

    @property
    def energy(self) -> float:
        return self.multiply_energy + self.add_energy

    @property
    def area(self) -> float:
        return self.multiply_area + self.add_area


FLOAT32 = Cost(3.7, 0.9, 7700, 4184)
INT8 = Cost(0.2, 0.03, 282, 36)


def energy(float_macs: int, int8_macs: int) -> float:
    """Picojoule of the multiply-accumulates of one sample."""
    return float_macs * FLOAT32.energy + int8_macs * INT8.energy
