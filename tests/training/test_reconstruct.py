"""Learned roundings: soft codes begin and end where they should, gradients pass through rounding, the block's error falls."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.graph import constant
from bitsmith.numerics import Blocks, Encoding, parse_format
from bitsmith.numerics.encoding import spanning
from bitsmith.running.session import Session
from tests import networks

torch = pytest.importorskip("torch", reason="needs the extra torch")
torch.set_num_threads(1)
from bitsmith.training import reconstruct as room  # noqa: E402
from bitsmith.training.reconstruct import SoftCodes, Task, fake_quantize, power_at, reconstruct  # noqa: E402

Array = np.ndarray[Any, Any]


def encoding_of(real: Array, format: str, symmetric: bool = True) -> Encoding:
    blocks = Blocks.channels(0)
    return spanning(*(blocks.reduce(u, real) for u in (np.minimum, np.maximum)), parse_format(format), symmetric=symmetric, blocks=blocks)


@pytest.mark.parametrize(("format", "symmetric"), [("int4", True), ("uint4", False), ("int3-restricted", True)])
def test_soft_codes_begin_between_the_codes_given_and_the_real_weights(format: str, symmetric: bool) -> None:
    real = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    encoding = encoding_of(real, format, symmetric)
    soft = SoftCodes(real, encoding, encoding.quantize(real))
    np.testing.assert_array_equal(soft.codes(), encoding.quantize(real))
    within = np.clip(real, encoding.lowest, encoding.highest)
    apart = np.abs(soft.soft().detach().numpy() - (within + encoding.simulate(real)) / 2)
    assert (apart <= 0.06 * encoding.scale).all()


def test_codes_that_are_no_neighbours_of_their_weights_may_still_come_nearer() -> None:
    real = np.float32([[0.1, 0.2, -0.9, 1.0]])
    encoding = encoding_of(real, "int4")
    given = np.int8([[5, -8, 7, 7]])
    soft = SoftCodes(real, encoding, given)
    lower = soft.lower.numpy()
    assert ((lower == given) | (lower == given - 1) | (lower == -8)).all()
    np.testing.assert_array_equal(lower, [[4, -8, 6, 6]])
    np.testing.assert_array_equal(soft.codes(), given)


@pytest.mark.parametrize("format", ["uint4", "uint8", "int8"])
def test_fake_quantization_is_the_encoding_and_passes_gradients_where_nothing_saturates(format: str) -> None:
    values = np.linspace(-2, 3, 101).astype(np.float32)
    encoding = spanning(-1.0, 2.0, parse_format(format))
    given = torch.from_numpy(values).requires_grad_()
    made = fake_quantize(given, encoding)
    np.testing.assert_allclose(made.detach().numpy(), encoding.simulate(values), atol=1e-6)
    made.sum().backward()
    inside = (values > encoding.lowest + 1e-6) & (values < encoding.highest - 1e-6)
    np.testing.assert_array_equal(given.grad.numpy()[inside], 1)
    np.testing.assert_array_equal(given.grad.numpy()[(values < encoding.lowest) | (values > encoding.highest)], 0)


def test_the_driving_term_gets_flatter() -> None:
    powers = [power_at(share) for share in (0, 0.2, 0.5, 0.8, 1)]
    assert powers[0] == powers[1] == 20
    assert powers == sorted(powers, reverse=True)
    assert powers[-1] == 2


def task_with_values() -> tuple[Task, Array, Array]:
    """A convolution with 2-bit weights, what it reads and what it should make."""
    model = bs.load(networks.conv_bn_relu())
    node = model.graph[0]
    name, bias = (v.name or "" for v in node.inputs[1:3])
    real = numbers(model, name)
    encoding = encoding_of(real, "int2")
    chance = np.random.default_rng(1)
    x = (chance.normal(size=(64, 1, 8, 8)) + 0.3 * chance.normal(size=(64, 3, 8, 8))).astype(np.float32)     # channels that go together
    result = node.outputs[0].name or ""
    wanted = Session(model, [result]).run({"input": x})[result]
    weights = {name: (real, encoding, encoding.quantize(real))}
    return Task([node], "input", result, weights, {bias: numbers(model, bias)}, {}), x, wanted


def numbers(model: ir.Model, name: str) -> Array:
    array = constant(model.graph.initializers[name])
    assert array is not None
    return array


def test_the_error_falls_and_the_same_seed_gives_the_same_codes() -> None:
    task, x, wanted = task_with_values()
    first, second = (reconstruct(task, x, x, wanted, steps=150, seed=3) for _ in range(2))
    assert first.after < 0.9 * first.before
    for name, (_, encoding, begin) in task.weights.items():
        codes = first.codes[name]
        np.testing.assert_array_equal(codes, second.codes[name])
        np.testing.assert_array_equal(codes, np.rint(codes))
        assert np.abs(codes - begin).max() <= 1
        assert codes.min() >= encoding.format.lowest
        assert codes.max() <= encoding.format.highest
    for name, bias in first.biases.items():
        np.testing.assert_array_equal(bias, second.biases[name])
        assert not np.array_equal(bias, task.biases[name])


def test_of_all_moments_the_best_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told that the error falls and rises again, it gives what it had where the error was least."""
    task, x, wanted = task_with_values()
    told, seen = iter([5.0, 3.0, 1.0, *[2.0] * (room.LOOKS - 2)]), list[dict[str, Array]]()

    def judge(task: Task, source: Any, target: Any, parameters: Any) -> float:
        seen.append({name: parameters[name].numpy().copy() for name in task.biases})
        return next(told)

    monkeypatch.setattr(room, "mean_error", judge)
    learned = reconstruct(task, x, x, wanted, steps=40, seed=0)
    assert (learned.before, learned.after) == (5.0, 1.0)
    assert len(seen) == room.LOOKS + 1
    for name, bias in learned.biases.items():
        np.testing.assert_array_equal(bias, seen[2][name])
        assert not np.array_equal(bias, seen[-1][name])


def test_the_error_before_is_that_of_the_codes_given() -> None:
    task, x, wanted = task_with_values()
    learned = reconstruct(task, x, x, wanted, steps=0, seed=0)
    ((real, encoding, _),), (bias,) = task.weights.values(), task.biases.values()
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    made = np.einsum("ncyxij,ocij->noyx", windows, encoding.simulate(real)) + bias[:, None, None]
    np.testing.assert_allclose(learned.before, np.square(made - wanted)[7::8].mean(), rtol=1e-4)
    assert learned.after == learned.before
