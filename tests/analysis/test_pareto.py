"""Integer programming against every assignment there is; and the front against its definition."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.analysis.pareto import Assignment, Problem, cheapest, front
from bitsmith.analysis.search_costs import Bill

WIDTHS = (8, 4, 2)
NUMBERS = st.integers(1, 20)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Problem, float]:
    """One to three layers, weights alone or with results, some products, some limits; and the noise of one of the assignments."""
    layers = draw(st.integers(1, 3))
    choices = [(f"layer{i}", role) for i in range(layers) for role in ("weights", "activations")][: draw(st.integers(1, 2 * layers))]
    noise = {choice: dict(zip(WIDTHS, sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS))), strict=True)) for choice in choices}
    single = {choice: {bits: float(bits * draw(NUMBERS)) for bits in WIDTHS} for choice in choices}
    weights = [c for c in choices if c[1] == "weights"]
    others = [c for c in choices if c[1] == "activations"]
    pairs = {(w, draw(st.sampled_from(others))): {(a, b): float(draw(NUMBERS) * a * b) for a in WIDTHS for b in WIDTHS}
             for w in weights} if others else {}
    cost = Bill(7.0, single if draw(st.booleans()) or not pairs else {}, pairs)
    limits = [(Bill(3.0, single, {}), float(draw(st.integers(1, 600))))] if draw(st.booleans()) else []
    chosen = {choice: draw(st.sampled_from(WIDTHS)) for choice in choices}
    problem = Problem(noise, cost, limits)
    return problem, problem.noise_of(chosen) + 0.5


def everything(problem: Problem) -> list[Assignment]:
    return [dict(zip(problem.noise, bits, strict=True)) for bits in itertools.product(WIDTHS, repeat=len(problem.noise))]


@given(problems())
@settings(deadline=None, max_examples=60)
def test_no_assignment_is_cheaper(case: tuple[Problem, float]) -> None:
    problem, most = case
    fit = [a for a in everything(problem) if problem.noise_of(a) <= most and all(bill.total(a) <= end for bill, end in problem.limits)]
    found = cheapest(problem, most)
    assert (found is None) == (not fit)
    if found is not None:
        assert problem.noise_of(found) <= most
        assert problem.cost.total(found) == pytest.approx(min(map(problem.cost.total, fit)), rel=2e-3)


def test_of_equally_cheap_ones_the_less_noisy() -> None:
    noise = {("a", "weights"): {8: 1.0, 4: 5.0}, ("b", "weights"): {8: 1.0, 4: 2.0}}
    cost = Bill(0.0, {choice: {8: 8.0, 4: 4.0} for choice in noise}, {})
    assert cheapest(Problem(noise, cost), 6.5) == {("a", "weights"): 8, ("b", "weights"): 4}


def test_standard_output_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    choices = [(f"layer{i}", role) for i in range(30) for role in ("weights", "activations")]
    noise = {c: {bits: (1 + i * 7 % 11) / 4.0**bits for bits in WIDTHS} for i, c in enumerate(choices)}
    pairs = {(a, b): {(x, y): float(x * y * (1 + i % 5)) for x in WIDTHS for y in WIDTHS}
             for i, (a, b) in enumerate(zip(choices[::2], choices[1::2], strict=True))}
    assert cheapest(Problem(noise, Bill(0.0, {}, pairs)), 0.5) is not None
    assert capfd.readouterr().out == ""


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_the_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    found = front(points, lambda p: p[0], lambda p: p[1])
    unbeaten = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert set(found) == unbeaten
    assert found == sorted(found)
