"""A program runs its instructions in pieces of the batch and forgets what nobody reads any more."""

import gc
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bitsmith.errors import DataError, LoweringError
from bitsmith.integer import program
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import (
    FLOAT32,
    AddRescaled,
    CallFloat,
    Constant,
    Convolve,
    Dequantize,
    MatrixMultiply,
    Mean,
    Quantize,
)
from bitsmith.integer.program import Program
from bitsmith.integer.windows import Window
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Integer

UINT8 = Integer(8, signed=False)
ZERO = np.zeros((), np.int32)


def encoding(scale: float, zero_point: int = 0) -> Encoding:
    return Encoding(UINT8, np.float32(scale), np.int32(zero_point))


def small_network() -> Program:
    """Convolution, a residual sum, a softmax in float, the mean, a matrix product."""
    random = np.random.default_rng(0)
    e = {"image": encoding(0.02, 128), "conv": encoding(0.05), "sum": encoding(0.1, 40), "soft": encoding(1 / 255), "mean": encoding(0.002),
         "logits": encoding(0.01, 100)}
    of = {name: CodeRange.of(value) for name, value in e.items()}
    total = FLOAT32.total.of([e["image"], e["conv"]], (1, 1), e["sum"].scale, of["sum"])

    def softmax(real: np.ndarray) -> list[np.ndarray]:
        grown = np.exp(real - real.max(1, keepdims=True))
        return [(grown / grown.sum(1, keepdims=True)).astype(np.float32)]

    return Program((
        Convolve(("image",), "conv", of["image"], random.integers(-127, 128, (3, 3, 3, 3)).astype(np.int8), ZERO,
                 Window.of((3, 3), pads=((1, 1), (1, 1))), requantize=FLOAT32.requantize.of(np.float32(0.002), of["conv"])),
        AddRescaled(("image", "conv"), "sum", (of["image"], of["conv"]), total),
        Dequantize(("sum",), "sum as real", e["sum"]),
        CallFloat("softmax", ("sum as real",), ("soft as real",), softmax),
        Quantize(("soft as real",), "soft", e["soft"]),
        Mean(("soft",), "mean", of["soft"], (2, 3), FLOAT32.requantize.of(np.float32(1 / 64), of["mean"]), keep_axes=False),
        MatrixMultiply(("mean",), "logits", of["mean"], weights=random.integers(-127, 128, (3, 4)).astype(np.int8), weights_zero_point=ZERO,
                       requantize=FLOAT32.requantize.of(np.float32(0.01), of["logits"])),
    ), {"image": e["image"]}, ("logits",), e)


def images(samples: int) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(1).normal(0, 1, (samples, 3, 8, 8)).astype(np.float32)}


def test_outputs_are_real_and_watched_values_are_codes() -> None:
    net, batch = small_network(), images(5)
    outputs, codes = net.run(batch), net.codes(batch, ["image", "conv", "sum as real", "logits"])
    assert list(outputs) == ["logits"]
    assert outputs["logits"].dtype == np.float32
    np.testing.assert_array_equal(outputs["logits"], net.encodings["logits"].dequantize(codes["logits"]))
    np.testing.assert_array_equal(codes["image"], net.encodings["image"].quantize(batch["image"]))
    assert codes["conv"].dtype == np.uint8
    assert codes["sum as real"].dtype == np.float32


def test_the_program_is_its_instructions_one_after_another() -> None:
    net, batch = small_network(), images(3)
    values: dict[str, Any] = {"image": net.encodings["image"].quantize(batch["image"])}
    for instruction in net.instructions:
        result = instruction.run(*(values[name] for name in instruction.inputs))
        if isinstance(instruction, CallFloat):
            values.update(zip(instruction.outputs, result, strict=True))
        else:
            values[instruction.output] = result
    for name, found in net.codes(batch, list(values)).items():
        np.testing.assert_array_equal(found, values[name])


@pytest.mark.parametrize("samples", [0, 1, 63, 64, 65, 200])
def test_pieces_do_not_show(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = small_network(), images(samples)
    in_pieces = net.codes(batch, ["conv", "logits"])
    monkeypatch.setattr(program, "SAMPLES", 1000)
    at_once = net.codes(batch, ["conv", "logits"])
    assert len(in_pieces["logits"]) == samples
    for name, found in in_pieces.items():
        np.testing.assert_array_equal(found, at_once[name])


def test_values_are_forgotten_after_their_last_reader() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    counts: list[int] = []

    def grow(real: np.ndarray) -> list[np.ndarray]:
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        made = real + 1
        alive.append(weakref.ref(made))
        return [made]

    names = [f"v{i}" for i in range(6)]
    steps = tuple(CallFloat("grow", (a,), (b,), grow) for a, b in pairwise(names))
    assert Program(steps, {"v0": None}, ("v5",), {}).run({"v0": np.zeros((1, 3))})["v5"].tolist() == [[5, 5, 5]]
    assert counts == [0, 1, 1, 1, 1]


def test_an_instruction_may_make_a_value_that_nobody_reads() -> None:
    split = CallFloat("split", ("x",), ("left", "right"), lambda x: (x[:, :1], x[:, 1:]))
    assert Program((split,), {"x": None}, ("right",), {}).run({"x": np.array([[1, 2, 3]])})["right"].tolist() == [[2, 3]]


def test_what_is_the_same_for_every_sample_comes_out_for_each() -> None:
    constant = Constant("y", np.array([[7, 8]], np.uint8))
    found = Program((constant,), {"x": None}, ("y",), {"y": encoding(0.5)}).run({"x": np.zeros((130, 1))})
    assert found["y"].tolist() == [[3.5, 4.0]] * 130


def test_the_same_inputs_give_the_same_bytes() -> None:
    batch = images(70)
    assert small_network().run(batch)["logits"].tobytes() == small_network().run(batch)["logits"].tobytes()


@pytest.mark.parametrize(("batch", "complaint"), [
    ({}, "have no \\['image'\\]"),
    ({"picture": np.zeros((1, 3, 8, 8))}, "have no \\['image'\\]"),
])
def test_missing_inputs_are_named(batch: dict[str, np.ndarray], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        small_network().run(batch)


def test_inputs_must_have_the_same_number_of_samples() -> None:
    net = Program((), {"a": None, "b": None}, ("a",), {})
    with pytest.raises(DataError, match="same number of samples"):
        net.run({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))})


def test_only_values_of_the_program_can_be_watched() -> None:
    with pytest.raises(DataError, match="no values \\['convolution'\\]"):
        small_network().codes(images(1), ["convolution"])


def test_values_are_made_before_they_are_read_and_only_once() -> None:
    one, two = Constant("y", np.zeros((1, 1))), Constant("y", np.ones((1, 1)))
    with pytest.raises(LoweringError, match="made twice"):
        Program((one, two), {}, ("y",), {})
    with pytest.raises(LoweringError, match=r"Dequantize of .* reads \['y'\]"):
        Program((Dequantize(("y",), "z", encoding(1)), one), {}, ("z",), {})
    with pytest.raises(LoweringError, match="outputs \\['z'\\] that nothing makes"):
        Program((one,), {}, ("z",), {})
