"""No value lies over another that is still needed, and the arena is as small as a slow search finds it."""

from dataclasses import replace
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.errors import LoweringError
from bitsmith.integer.memory import ALIGNMENT, Buffer, Layout, Overlap, apart, lower_bound, meet, place, shares
from bitsmith.integer.packing import Packing, UndecidedError


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Buffer], list[Overlap]]:
    """A chain of steps, each reading one or two earlier values; some results may lie over what their step read last."""
    count = draw(st.integers(1, 8))
    reads = [draw(st.lists(st.integers(0, step - 1), min_size=1, max_size=2)) for step in range(1, count)]
    dies = [max([step for step, read in enumerate(reads, 1) if value in read], default=value + draw(st.integers(0, 2)))
            for value in range(count)]
    sizes = draw(st.lists(st.integers(0, 40), min_size=count, max_size=count))
    buffers = [Buffer(str(value), sizes[value], value, max(value, dies[value])) for value in range(count)]
    overlaps = [Overlap(str(source), str(step), draw(st.integers(0, 12)), draw(st.none() | st.integers(0, 40)))
                for step, read in enumerate(reads, 1) for source in set(read) if draw(st.booleans())]
    return buffers, overlaps


@settings(deadline=None)
@given(networks())
def test_what_is_needed_is_never_written_over(network: tuple[list[Buffer], list[Overlap]]) -> None:
    """Step by step, byte by byte: a result is written from its beginning, and of a source it covers only what was read `lead` before."""
    buffers, overlaps = network
    arena = place(buffers, overlaps)
    found = {b.name: b for b in buffers}
    allowed = {(o.source, o.result): o for o in overlaps if shares(found, o)}
    for result in buffers:
        written = set(range(arena.offsets[result.name], arena.offsets[result.name] + result.size))
        for other in buffers:
            if other is result or not (other.born <= result.born <= other.dies):
                continue
            common = written & set(range(arena.offsets[other.name], arena.offsets[other.name] + other.size))
            if common:
                overlap = allowed[other.name, result.name] if (other.name, result.name) in allowed else allowed[result.name, other.name]
                source, made = arena.offsets[overlap.source], arena.offsets[overlap.result]
                assert made + overlap.lead <= source or (overlap.trail is not None and made >= source + overlap.trail)
    assert all(at % ALIGNMENT == 0 for at in arena.offsets.values())
    assert lower_bound(buffers, overlaps) <= arena.lower_bound <= arena.size
    assert arena.size <= sum(b.size + ALIGNMENT for b in buffers) + sum(o.lead + ALIGNMENT for o in overlaps)


@settings(deadline=None, max_examples=40)
@given(networks())
def test_no_order_of_putting_gives_less(network: tuple[list[Buffer], list[Overlap]]) -> None:
    """Against all orders of up to five buffers."""
    buffers = network[0][:5]
    found = {b.name: b for b in buffers}
    overlaps = [o for o in network[1] if o.source in found and o.result in found]
    allowed = {(o.source, o.result): o for o in overlaps if shares(found, o)}
    best = []
    for order in permutations(buffers):
        layout = Layout(found, allowed)
        for buffer in order:
            layout.put(buffer)
        best.append(layout.size)
    assert place(buffers, overlaps).size <= min(best)


@settings(deadline=None, max_examples=60)
@given(networks())
def test_nothing_is_smaller_than_what_is_proven(network: tuple[list[Buffer], list[Overlap]]) -> None:
    """Against all offsets of up to four buffers."""
    buffers = [replace(b, size=b.size // 4) for b in network[0][:4]]
    found = {b.name: b for b in buffers}
    overlaps = [replace(o, lead=o.lead // 4) for o in network[1] if o.source in found and o.result in found]
    allowed = {(o.source, o.result): o for o in overlaps if shares(found, o)}
    arena = place(buffers, overlaps)
    assert arena.size == arena.lower_bound
    for offsets in product(range(0, arena.size, ALIGNMENT), repeat=len(buffers)):
        if all(at + b.size <= arena.size - ALIGNMENT for at, b in zip(offsets, buffers, strict=True)):
            assert any(meet(*pair) and not apart(allowed, (pair[0], here), (pair[1], there))
                       for pair, (here, there) in zip(combinations(buffers, 2), combinations(offsets, 2), strict=True))


def test_a_minimum_above_the_live_bytes_is_proven() -> None:
    """Every second step needs 40 bytes between source and result, each other one 400 beside them, in one piece."""
    values = [Buffer(f"v{i}", 1000, i, i + 1) for i in range(8)]
    beside = [Buffer(f"s{i}", 400, i, i) for i in range(2, 8, 2)]
    overlaps = [Overlap(f"v{i}", f"v{i + 1}", 0 if i % 2 else 40) for i in range(7)]
    arena = place([*values, *beside], overlaps)
    assert arena.size == arena.lower_bound > lower_bound([*values, *beside], overlaps)


def test_too_many_ways_are_left_undecided() -> None:
    sizes = {str(i): 4 for i in range(14)}
    pairs = [[(a, b, 4), (b, a, 4)] for a, b in combinations(sizes, 2)]
    with pytest.raises(UndecidedError):
        Packing(sizes, 4 * 13).solve(pairs)
    found = Packing(sizes, 4 * 14).solve(pairs)
    assert found is not None
    assert sorted(found.values()) == [4 * i for i in range(14)]


def test_a_chain_goes_to_and_fro_in_its_two_largest() -> None:
    sizes = [12, 40, 28, 8]
    arena = place([Buffer(str(i), size, i, i + 1) for i, size in enumerate(sizes)])
    assert arena.size == arena.lower_bound == 68


def test_elementwise_results_lie_over_their_source() -> None:
    buffers = [Buffer("x", 100, 0, 1), Buffer("y", 100, 1, 2)]
    assert place(buffers).size == 200
    assert place(buffers, [Overlap("x", "y")]).size == 100


def test_a_convolution_follows_behind_by_a_row() -> None:
    buffers = [Buffer("x", 1024, 0, 1), Buffer("y", 1024, 1, 2)]
    arena = place(buffers, [Overlap("x", "y", 66)])
    assert arena.size == arena.lower_bound == 1024 + 68
    assert arena.offsets["x"] - arena.offsets["y"] == 68


def test_a_chain_goes_down_and_up_again() -> None:
    """Every second step runs backwards, so that the way apart is needed once."""
    buffers = [Buffer(str(i), 1000, i, i + 1) for i in range(6)]
    one_way = [Overlap(str(i), str(i + 1), 40) for i in range(5)]
    both_ways = [Overlap(str(i), str(i + 1), 40, 40) for i in range(5)]
    assert place(buffers, one_way).size == 1200
    assert place(buffers, both_ways).size == place(buffers, both_ways).lower_bound == 1040


def test_what_is_read_again_is_kept() -> None:
    buffers = [Buffer("x", 100, 0, 2), Buffer("y", 100, 1, 2)]
    assert place(buffers, [Overlap("x", "y")]).size == 200


def test_nothing_needs_nothing() -> None:
    arena = place([])
    assert (arena.size, arena.lower_bound, dict(arena.offsets)) == (0, 0, {})


def test_the_same_buffers_get_the_same_places() -> None:
    random = np.random.default_rng(0)
    buffers = [Buffer(str(i), int(random.integers(1, 500)), i, i + int(random.integers(0, 5))) for i in range(30)]
    assert place(buffers) == place(list(buffers))


@pytest.mark.parametrize(("size", "born", "dies"), [(-1, 0, 0), (4, 2, 1)])
def test_impossible_buffers_are_refused_by_name(size: int, born: int, dies: int) -> None:
    with pytest.raises(LoweringError, match="Buffer 'x'"):
        Buffer("x", size, born, dies)
