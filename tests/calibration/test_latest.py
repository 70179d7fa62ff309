"""The latest samples are the same whatever the order in which they came; moving averages of them."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.calibration import latest
from bitsmith.calibration.latest import KEPT, Latest
from bitsmith.calibration.ranges import Placing, parse_estimator
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.numerics.formats import Array, Integer

INT8 = Placing(Integer(8))
Extremes = dict[int, tuple[float, float]]
FINITE = st.integers(-9, 9).map(float)
ROW = st.tuples(FINITE, FINITE).map(lambda pair: (min(pair), max(pair))) | st.just((np.inf, -np.inf))
PIECES = st.lists(st.tuples(st.integers(0, 40), st.lists(ROW, min_size=1, max_size=9)), max_size=8)


def keep_plainly(pieces: list[tuple[int, list[tuple[float, float]]]], kept: int) -> Extremes:
    """Slow and obvious: everything by position, then the highest ones."""
    found: Extremes = {}
    for first, rows in pieces:
        for position, (low, high) in enumerate(rows, first):
            if low <= high:
                old = found.get(position, (low, high))
                found[position] = min(low, old[0]), max(high, old[1])
    return {position: ends for position, ends in found.items() if position > max(found) - kept}


def average_plainly(extremes: Extremes, decay: float) -> tuple[float, float]:
    """Sample after sample, as a moving average is written."""
    low = high = weight = 0.0
    for position in range(max(extremes) + 1):
        low, high, weight = decay * low, decay * high, decay * weight
        if position in extremes:
            low, high, weight = low + extremes[position][0], high + extremes[position][1], weight + 1
    return low / weight, high / weight


def as_extremes(found: Latest) -> Extremes:
    first = found.end - len(found.ends)
    return {first + i: (float(low), float(high)) for i, (low, high) in enumerate(found.ends) if low <= high}


def piece_of(first: int, rows: list[tuple[float, float]]) -> Latest:
    return Latest.of(np.arange(first, first + len(rows)), np.array(rows, np.float32))


@given(PIECES, st.integers(1, 30), st.randoms(use_true_random=False))
def test_the_highest_positions_are_kept_in_any_order(pieces, kept, random) -> None:    # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latest, "KEPT", kept)
        parts = [piece_of(first, rows) for first, rows in pieces]
        found = reduce(Latest.merge, parts, Latest())
        assert as_extremes(found) == keep_plainly(pieces, kept)
        assert all(row[0] <= row[1] for row in (*found.ends[:1], *found.ends[-1:]))
        while len(parts) > 1:       # now as a tree in which anything meets anything
            random.shuffle(parts)
            parts.append(parts.pop().merge(parts.pop()))
        again = reduce(Latest.merge, parts, Latest())
        assert (again.end, again.ends.tobytes()) == (found.end, found.ends.tobytes())


def test_two_runs_from_the_same_position_count_as_one() -> None:
    both = piece_of(0, [(-1, 2), (-3, 1)]).merge(piece_of(0, [(-2, 1), (0, 0), (5, 6)]))
    assert as_extremes(both) == {0: (-2, 2), 1: (-3, 1), 2: (5, 6)}
    assert as_extremes(piece_of(0, [(1, 2)]).merge(piece_of(0, [(3, 4)]).moved(7))) == {0: (1, 2), 7: (3, 4)}
    assert Latest().moved(3).end == 0


@pytest.mark.parametrize(("samples", "expected"), [
    (4, {10: (0, 0), 11: (1, 1), 12: (2, 2), 13: (3, 3)}), (2, {10: (0, 1), 11: (2, 3)}), (1, {10: (0, 3)}),
    (3, {10: (0, 1), 11: (2, 2), 12: (3, 3)}), (8, {10: (0, 0), 12: (1, 1), 14: (2, 2), 16: (3, 3)}),
])
def test_rows_belong_to_samples_in_their_order(samples: int, expected: Extremes) -> None:
    rows = np.repeat(np.arange(4, dtype=np.float32), 2).reshape(4, 2)
    statistics = Statistics()
    statistics.observe(rows, range(10, 10 + samples))
    assert statistics.latest is not None
    assert as_extremes(statistics.latest) == expected


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=60).filter(lambda rows: any(low <= high for low, high in rows)), st.floats(0.01, 0.99))
def test_the_average_is_that_of_the_recurrence(rows: list[tuple[float, float]], decay: float) -> None:
    found = piece_of(0, rows)
    assert found.average(decay) == pytest.approx(average_plainly(as_extremes(found), decay), rel=1e-9, abs=1e-9)


def test_what_is_forgotten_weighs_next_to_nothing() -> None:
    numbers = np.random.default_rng(0).standard_normal((3000, 20)).cumsum(axis=0).astype(np.float32)
    statistics = counted(numbers)
    assert statistics.latest is not None
    assert len(statistics.latest.ends) == KEPT
    every = {i: (float(row.min()), float(row.max())) for i, row in enumerate(numbers)}
    found = parse_estimator("moving_average")(statistics, INT8)
    assert found == pytest.approx(average_plainly(every, 0.99), rel=1e-3)


def counted(numbers: Array) -> Statistics:
    statistics = Statistics()
    for piece in np.array_split(numbers, 7):
        statistics.observe(piece)
    return statistics


def test_late_samples_weigh_more() -> None:
    numbers = np.concatenate([np.full((50, 3), 100.0), np.full((50, 3), 2.0)])
    assert parse_estimator("moving_average:0.5")(counted(numbers), INT8) == pytest.approx((2, 2))
    assert parse_estimator("moving_average:decay=0.99")(counted(numbers), INT8).high > 30


def test_an_unknown_order_is_told_and_stays_unknown() -> None:
    known, unknown = counted(np.ones((7, 3))), Statistics(counted(np.ones((7, 3))).record, None)
    unknown.observe(np.ones((2, 2)))
    for found in (unknown, unknown.merge(known), known.merge(unknown), unknown.moved(3)):
        with pytest.raises(StatisticsError, match=r"order of samples is not known.*calibrate again"):
            parse_estimator("moving_average")(found, INT8)
