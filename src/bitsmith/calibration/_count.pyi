from bitsmith.numerics.formats import Array

SCRATCH: int

def count(
    values: Array, samples: int, counts: Array, totals: Array, extremes: Array, tallies: Array, scratch: Array, ends: Array, /
) -> None: ...
