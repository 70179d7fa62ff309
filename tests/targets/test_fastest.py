"""The cut against every choice there is, on networks small enough to try them all."""

from collections.abc import Iterator
from itertools import chain, combinations
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from bitsmith.targets.onnx.fastest import Cut, Link, fastest, total
from bitsmith.targets.onnx.speed import Cost, Crossing

Network = tuple[dict[str, Cost], list[Link], list[tuple[str, str]]]
microseconds = st.integers(0, 50).map(float)
FREE = Crossing(0.0, 0.0)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Up to seven layers, each reading earlier values; whole microseconds, so that sums are exact."""
    names = [f"layer{i}" for i in range(draw(st.integers(1, 7)))]
    costs = {name: Cost(draw(microseconds), draw(microseconds | st.just(inf))) for name in names}
    links = []
    for place, maker in enumerate([None, *names]):
        later: list[str | None] = [*names[place:], None]
        readers = draw(st.lists(st.sampled_from(later), min_size=1, max_size=3, unique=True))
        links.append(Link(maker, tuple(readers), Crossing(draw(microseconds), draw(microseconds))))
    pair = st.tuples(st.sampled_from(names), st.sampled_from(names))
    return costs, links, draw(st.lists(pair, max_size=2))


def choices(names: list[str]) -> Iterator[frozenset[str]]:
    return map(frozenset, chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)))


@given(networks())
def test_no_choice_is_better(network: Network) -> None:
    costs, links, followers = network
    allowed = [c for c in choices(list(costs)) if all(second in c or first not in c for first, second in followers)]
    best = min(total(costs, links, choice) for choice in allowed)
    found = fastest(costs, links, followers)
    assert found in allowed
    assert total(costs, links, found) == best
    assert all(choice <= found for choice in allowed if total(costs, links, choice) == best)


def test_a_chain_leaves_its_slow_head_in_float() -> None:
    costs = {"stem": Cost(10, 40), "body": Cost(60, 20), "tail": Cost(5, 5)}
    links = [Link(None, ("stem",), FREE), Link("stem", ("body",), Crossing(7, 7)), Link("body", ("tail",), Crossing(3, 3)),
             Link("tail", (None,), FREE)]
    assert fastest(costs, links) == {"body", "tail"}
    assert total(costs, links, frozenset({"body", "tail"})) == 10 + 7 + 20 + 5
    assert total(costs, links, frozenset()) == 75


def test_the_way_there_and_back_can_cost_more_than_it_saves() -> None:
    costs = {"a": Cost(5, 90), "b": Cost(20, 10), "c": Cost(5, 90)}
    links = [Link("a", ("b",), Crossing(6, 6)), Link("b", ("c",), Crossing(6, 6))]
    assert fastest(costs, links) == frozenset()


def test_a_value_is_dequantized_for_each_reader() -> None:
    costs = {"a": Cost(30, 1), "b": Cost(1, inf), "c": Cost(1, inf)}
    links = [Link("a", ("b", "c"), Crossing(0, 10))]
    assert total(costs, links, frozenset({"a"})) == 23
    assert fastest(costs, links) == {"a"}
    assert fastest(costs, [Link("a", ("b", "c"), Crossing(0, 15))]) == frozenset()


def test_a_value_is_quantized_once_for_all_its_readers() -> None:
    costs = {"a": Cost(1, inf), "b": Cost(10, 4), "c": Cost(10, 4)}
    links = [Link("a", ("b", "c"), Crossing(10, 10))]
    assert total(costs, links, frozenset({"b", "c"})) == 19
    assert fastest(costs, links) == {"b", "c"}
    assert fastest(costs, [Link("a", ("b", "c"), Crossing(13, 10))]) == frozenset()


def test_movements_follow_whoever_has_codes() -> None:
    costs = {"conv": Cost(9, 30), "pool": Cost(4, 8), "next": Cost(50, 10)}
    links = [Link("conv", ("pool",), Crossing(8, 8)), Link("pool", ("next",), Crossing(2, 2))]
    assert fastest(costs, links) == {"next"}
    assert fastest(costs, links, [("conv", "pool"), ("next", "pool")]) == {"pool", "next"}


def test_layers_without_integer_kernels_stay_float() -> None:
    assert fastest({"softmax": Cost(100, inf)}, []) == frozenset()


def test_no_layers_no_choice() -> None:
    assert fastest({}, [Link(None, (None,), FREE)]) == frozenset()


def test_long_networks_are_cut_to_the_end() -> None:
    names = [f"layer{i}" for i in range(400)]
    costs = {name: Cost(3.0 + i % 5, 1.0 + i % 7) for i, name in enumerate(names)}
    links = [Link(a, (b,), Crossing(1.5, 1.5)) for a, b in zip([None, *names], [*names, None], strict=True) if b is not None]
    found = fastest(costs, links)
    assert total(costs, links, found) <= min(total(costs, links, frozenset()), total(costs, links, frozenset(names)))
    assert 0 < len(found) < len(names)


def test_flow_fills_the_narrowest_place() -> None:
    cut = Cut()
    cut.join(("source", 0), "a", 5)
    cut.join("a", "b", 2)
    cut.join("b", ("sink", 0), 9)
    assert cut.source_side() == {("source", 0), "a"}
