"""Codes within a room: the room is that of the proof, nothing leaves it, and among codes that fit few lose less."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.improving.room import Room, round_within, trim
from bitsmith.improving.second_order import Line, Moments, round_weights_of, squared_error
from bitsmith.integer.bounds import weighted
from bitsmith.numerics import Integer

Array = np.ndarray[Any, Any]


def case(seed: int, channels: int = 5, terms: int = 12, *, shared: bool = False) -> tuple[Array, Line, Moments]:
    """Seeded weights, their codes of 8 bits, and moments of rectified inputs."""
    random = np.random.default_rng(seed)
    weights, inputs = random.normal(size=(1, channels, terms)), np.maximum(random.normal(size=(1, 200, terms)), 0)
    reach = np.abs(weights).max() if shared else np.abs(weights).max(-1, keepdims=True)
    scale = np.broadcast_to(np.float32(reach / 127), weights.shape).astype(np.float64)
    owner = np.zeros(channels, int) if shared else np.arange(channels)
    shares = np.broadcast_to(owner[None, :, None], weights.shape)
    moments = Moments.of(inputs.astype(np.float32), np.zeros((1, 200, channels), np.float32))
    return weights, Line(Integer(8), scale, np.zeros_like(scale), shares), moments


def proven(rounded: Array, line: Line, room: Room) -> Array:
    """Which channels fit, by the bounds of the integer program, whichever way the bias is rounded."""
    steps, scale = np.rint(rounded / line.scale)[0].astype(int), line.scale[0, :, 0]
    exact = np.zeros(len(steps)) if room.bias is None else room.bias[0] / scale
    fits = [weighted(steps, np.int64(bias), room.low, room.high).fit(room.bits) for bias in (np.floor(exact), np.ceil(exact))]
    return np.asarray(fits[0] & fits[1])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(10, 20), st.integers(-128, 0), st.integers(100, 255), st.booleans(), st.booleans())
def test_no_sum_leaves_the_room(seed: int, bits: int, low: int, high: int, biased: bool, shared: bool) -> None:
    weights, line, moments = case(seed, shared=shared)
    bias = np.random.default_rng(seed).normal(size=(1, 5)) * 200 if biased else None
    room, hessian = Room(bits, low, high, bias), moments.hessian()
    rounded, found = round_within(weights, weights, line, hessian, room)
    assert proven(rounded, found, room).all()
    assert (found.scale >= line.scale).all()
    np.testing.assert_array_equal(found.format.encode(rounded / found.scale, found.zero_point), np.rint(rounded / found.scale))


def test_where_there_is_room_enough_little_is_lost() -> None:
    weights, line, moments = case(0)
    hessian = moments.hessian()
    rounded, found = round_within(weights, weights, line, hessian, Room(32, 0, 255, None))
    free = round_weights_of(weights, line, moments, keep_scales=True)
    np.testing.assert_array_equal(found.scale, line.scale)
    assert squared_error(rounded - weights, hessian).sum() <= 1.05 * free.error


def test_less_room_loses_more() -> None:
    weights, line, moments = case(1, terms=40)
    hessian = moments.hessian()
    lost = []
    for bits in (20, 16, 14, 12):
        rounded, _ = round_within(weights, weights, line, hessian, Room(bits, 0, 255, None))
        lost.append(squared_error(rounded - weights, hessian).sum())
    assert lost == sorted(lost)
    assert lost[-1] > 10 * lost[0]


def test_it_loses_less_than_shrinking_all_alike() -> None:
    """A soft threshold takes the same from every weight (Euclidean projection onto the L1 ball)."""
    weights, line, moments = case(2, terms=40)
    room, hessian = Room(16, 0, 255, None), moments.hessian()
    rounded, found = round_within(weights, weights, line, hessian, room)
    trimmed = trim(weights, line.nearest(weights), line, hessian, room)
    steps = np.rint(line.nearest(weights) / line.scale)
    for channel in range(steps.shape[1]):
        threshold = 0
        while not room.fits(soft(steps[:, channel], threshold), line.scale[:, channel, 0]).all():
            threshold += 1
        steps[:, channel] = soft(steps[:, channel], threshold)
    assert proven(trimmed, line, room).all()
    assert proven(rounded, found, room).all()
    alike = squared_error(steps * line.scale - weights, hessian).sum()
    assert squared_error(trimmed - weights, hessian).sum() < alike
    assert squared_error(rounded - weights, hessian).sum() < 0.8 * alike


def soft(steps: Array, threshold: int) -> Array:
    return np.asarray(np.sign(steps) * np.maximum(np.abs(steps) - threshold, 0))


def test_one_sign_alone_is_trimmed_where_inputs_have_one_sign() -> None:
    """With inputs of 0..255 the lowest sum concerns the negative weights only."""
    steps = np.array([[[100.0, 100.0, -10.0]]])
    line = Line(Integer(8), np.ones_like(steps), np.zeros_like(steps), np.zeros(steps.shape, int))
    trimmed = trim(steps, steps, line, np.eye(3)[None], Room(16, 0, 255, None))
    assert trimmed[0, 0, 2] == -10
    assert trimmed[0, 0, :2].sum() == 128


@pytest.mark.parametrize("bias", [1e5, -1e5])
def test_a_bias_that_fills_the_room_widens_the_scale(bias: float) -> None:
    weights, line, moments = case(3)
    room = Room(12, 0, 255, np.full((1, 5), bias))
    rounded, found = round_within(weights, weights, line, moments.hessian(), room)
    assert proven(rounded, found, room).all()
    assert (np.abs(bias) / found.scale < 2**11).all()
