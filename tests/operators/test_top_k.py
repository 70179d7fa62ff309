"""The largest k and their places: codes that are moved and integers that are none, in integers and in float, in C and in onnxruntime."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.errors import BitsmithError
from bitsmith.integer.instructions import Pick, TopK
from bitsmith.operators.selection import top_obstacle
from bitsmith.real_lowering import lower_to_reals
from bitsmith.running.session import Session

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
BOTH = ("best", "places")


def scores(outputs: Sequence[str] = BOTH, *, k: int = 3, **attributes: int) -> onnx.ModelProto:
    """(12,) -> ten scores -> the best of them."""
    b = networks.Builder(21, 0)
    logits = b.linear(b.relu(b.linear("input", "fc1", 12, 16)), "fc2", 16, 10)
    b.node("TopK", [logits, b.constant("k", [k], np.int64)], BOTH, attributes)
    places = {"places": onnx.TensorProto.INT64}
    return b.model({"input": ("batch", 12)}, dict.fromkeys(outputs, ("k" if attributes.get("axis") == 0 else "batch", "n")), kinds=places)


def quantized(model: onnx.ModelProto, target: str) -> bs.Quantized:
    recipe = bs.recipes.weights_int8() if "compute-float" in target else bs.recipes.int8()
    return bs.quantize(model, networks.feeds(model, 40), target=target, recipe=recipe)


def test_values_keep_their_codes_and_places_are_none() -> None:
    made = quantized(scores(), "c")
    assert [type(i) for i in made.program.instructions[-2:]] == [TopK, Pick]
    assert made.plan.encodings["best"] == made.plan.encodings["fc2_out"]
    assert "places" not in made.plan.encodings
    found = made.program.run(networks.feeds(scores(), 9))
    assert (found["best"].dtype, found["places"].dtype) == (np.float32, np.uint8)


@pytest.mark.parametrize(("read", "kinds"), [(("places",), [TopK]), (("best",), [TopK, Pick])])
@pytest.mark.parametrize("target", ["c", "c:compute-float"])
def test_only_what_is_read_is_made(read: Sequence[str], kinds: list[type], target: str) -> None:
    made = quantized(scores(read), target)
    program = lower_to_reals(made.refined, made.plan) if target == "c:compute-float" else made.program
    assert [type(i) for i in program.instructions[2:]] == kinds
    assert program.outputs == tuple(read)


@needs_gcc
@pytest.mark.parametrize("target", ["c", "c:float", "c:shift", "c:compute-float", "c:cortex-m"])
@pytest.mark.parametrize("outputs", [BOTH, ("places",)])
def test_in_c(target: str, outputs: Sequence[str], tmp_path: Path) -> None:
    """Verified to the last place, and of the names that the network has."""
    model = scores(outputs)
    recipe = bs.recipes.weights_int8() if target == "c:compute-float" else bs.recipes.int8()
    rules = [bs.Rule(power_of_two=True)] if target == "c:shift" else []
    bs.quantize(model, networks.feeds(model, 40), target=target, recipe=recipe.with_rules(*rules)).write(tmp_path / "firmware")
    found = bs.verify(tmp_path / "firmware", networks.feeds(model, 40))
    assert found.exact
    assert not any(c.misplaced for c in found.comparisons)
    assert "const uint8_t *net_places(const void *arena)" in (tmp_path / "firmware" / "net.h").read_text()


def test_in_onnxruntime(tmp_path: Path) -> None:
    """Codes are in the order of the numbers, so that places and ties are the same."""
    model = scores()
    made = quantized(model, "onnxruntime")
    made.write(tmp_path / "net.onnx")
    feeds = networks.feeds(model, 200)
    expected, found = Session(bs.load(tmp_path / "net.onnx"), optimise=False).run(feeds), made.program.run(feeds)
    for name in BOTH:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize(("model", "message"), [
    (scores(largest=0), "takes the smallest, or in no order"), (scores(sorted=0), "takes the smallest, or in no order"),
    (scores(axis=0), "top-k over axis 0"),
])
@pytest.mark.parametrize("target", ["c", "c:compute-float"])
def test_refusals(model: onnx.ModelProto, message: str, target: str, tmp_path: Path) -> None:
    with pytest.raises(BitsmithError, match=message):
        quantized(model, target).write(tmp_path / "firmware")


def test_a_computed_number_of_answers_is_an_obstacle() -> None:
    node = ir.Node("", "TopK", [ir.Value(name="x"), ir.Value(name="k")])
    assert top_obstacle(node) == "how many it takes is computed while the network runs"


def test_results_that_nothing_makes_are_missed() -> None:
    """A mask beside a movement's first result: the node is called in float, and says why."""
    b = networks.Builder(21, 0)
    b.node("Dropout", [b.linear("input", "fc", 12, 10)], ("dropped", "mask"))
    b.linear("dropped", "head", 10, 3)
    shapes = {"head_out": ("batch", 3), "mask": ("batch", 10)}
    model = b.model({"input": ("batch", 12)}, shapes, kinds={"mask": onnx.TensorProto.BOOL})
    assert quantized(model, "c").program.in_float == {"/dropped": "there is no integer arithmetic for 'mask'"}
