"""The compiled counter gives the bits of the plain one, whatever the numbers."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bitsmith.calibration import counting
from bitsmith.calibration.counting import NAN, NEGATIVE_INFINITIES, POSITIVE_INFINITIES, SAMPLES, Record, count, count_plainly
from bitsmith.numerics.formats import Array

needs_compiled = pytest.mark.skipif(counting.compiled is None, reason="not built: python setup.py build_ext --inplace")
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70)
PATTERNS = arrays(np.uint32, SHAPES, elements=st.integers(0, 2**32 - 1)).map(lambda bits: bits.view(np.float32))
LIKELY = arrays(np.float32, SHAPES, elements=st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e-45, -1e-42, 3.4e38, np.inf, -np.inf, np.nan]))


def both(samples: Array) -> tuple[Record, Record]:
    fast, plain = Record.empty(), Record.empty()
    ends, plain_ends = count(samples, fast), count_plainly(samples, plain)
    assert ends.tobytes() == plain_ends.tobytes()
    assert ends.shape == (len(samples), 2)
    return fast, plain


def assert_same(a: Record, b: Record) -> None:
    for name, one, other in zip(Record._fields, a, b, strict=True):
        assert one.tobytes() == other.tobytes(), name


@needs_compiled
@given(PATTERNS | LIKELY)
@example(np.full((2, 17), -0.0, np.float32))
@example(np.full((1, 3), np.nan, np.float32))
def test_compiled_equals_plain(samples: Array) -> None:
    assert_same(*both(samples))
    assert not counting.scratch.bins.any()


@needs_compiled
@pytest.mark.parametrize("length", [1, 15, 16, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("spoilt", [None, np.nan, np.inf, -np.inf])
def test_chunks_and_lanes_of_any_length(length: int, spoilt: float | None) -> None:
    random = np.random.default_rng(length)
    samples = (random.standard_normal((3, length)) * np.exp(random.uniform(-60, 60, (3, length)))).astype(np.float32)
    if spoilt is not None:
        samples[1, random.integers(length)] = spoilt
    assert_same(*both(samples))


@needs_compiled
def test_a_record_is_added_to() -> None:
    samples = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    together, apart = Record.empty(), Record.empty()
    count(samples, together)
    for start in (4, 0, 2):
        count(samples[start:start + 2], apart)
    assert_same(together, apart)


def test_plain_counts_what_numpy_counts() -> None:
    samples = np.array([[1.0, -2.0, np.nan, 0.5], [np.inf, -np.inf, np.inf, np.nan], [3.0, 3.0, 3.0, 3.0]], np.float32)
    record = Record.empty()
    assert count_plainly(samples, record).tolist() == [[-2.0, 1.0], [np.inf, -np.inf], [3.0, 3.0]]
    assert record.extremes.tolist() == [-2.0, 3.0]
    assert record.tallies[[SAMPLES, NAN, POSITIVE_INFINITIES, NEGATIVE_INFINITIES]].tolist() == [2, 2, 2, 1]
    tops = {0x3F80: 1, 0xC000: 1, 0x3F00: 1, 0x4040: 4}
    assert {int(i): int(record.counts[i]) for i in np.flatnonzero(record.counts)} == tops


def test_without_the_extension_numpy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "compiled", None)
    assert_same(*both(np.ones((2, 5), np.float32)))


@needs_compiled
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_no_numbers_change_nothing(shape: tuple[int, int]) -> None:
    fast, _ = both(np.zeros(shape, np.float32))
    assert_same(fast, Record.empty())


@needs_compiled
@pytest.mark.parametrize("wrong", ["values", "samples", "counts", "totals", "extremes", "tallies", "scratch", "ends", "locked"])
def test_wrong_buffers_are_refused(wrong: str) -> None:
    empty = Record.empty()
    scratch = np.zeros(counting.compiled.SCRATCH, np.uint32)
    given = {"values": np.ones((2, 3), np.float32), "samples": 2, **empty._asdict(), "scratch": scratch,
             "ends": np.ones((2, 2), np.float32)}
    if wrong == "locked":
        empty.counts.flags.writeable = False
    else:
        given[wrong] = 4 if wrong == "samples" else given[wrong].astype(np.float64) if wrong == "values" else given[wrong][:-1].copy()
    with pytest.raises(ValueError, match=r"buffer|numbers|read-only|not writable"):
        counting.compiled.count(*given.values())
    assert_same(empty, Record.empty())
