"""Weights and activations of every width: the next container holds them, and every engine computes with the narrow codes."""

from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto
from quantizing import MARGIN, Chain, assert_same

import bitsmith as bs
from bitsmith.graph import constant
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets.onnx import TARGETS
from bitsmith.targets.onnx.extract import extract_quantization

WIDTHS = (2, 3, 4, 5, 6, 7)
PACKED = [(2, "onnxruntime", TensorProto.INT4), (3, "onnx", TensorProto.INT4), (4, "onnx", TensorProto.INT4), (2, "onnx", TensorProto.INT2),
          ("ternary", "onnx", TensorProto.INT2), ("binary", "onnx", TensorProto.INT2)]
CONTAINERS = {2: ir.DataType.INT2, 4: ir.DataType.INT4, 8: ir.DataType.INT8}


def recipe(weights: int | str, activations: int | str = 8, granularity: str | None = None) -> Recipe:
    return Recipe("widths", (Rule(weights=weights, activations=activations, granularity=granularity),))


@pytest.mark.parametrize("granularity", ["channel", "group:4"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
def test_weights_are_stored_in_the_next_container(target: str, width: int, granularity: str) -> None:
    chain = Chain.of(networks.conv_bn_relu(), recipe(width, granularity=granularity), target)
    found, accepts = extract_quantization(chain.written), TARGETS[target].accepts
    weights = [name for name, e in chain.plan.encodings.items() if e.format.name == f"int{width}"]
    assert len(weights) >= 3
    for name in weights:
        planned, stored = chain.plan.encodings[name], chain.written.graph.initializers[name]
        assert stored.dtype == CONTAINERS[accepts.stored_bits(planned)]
        codes, array = constant(stored), constant(chain.network.graph.initializers[name])
        assert codes is not None
        assert array is not None
        np.testing.assert_array_equal(codes.astype(np.int8), planned.quantize(array))
        assert planned.format.lowest <= codes.min() < codes.max() <= planned.format.highest
        if name in found.plan.encodings:                    # else it is unpacked when the file is loaded
            np.testing.assert_array_equal(constant(found.network.graph.initializers[name]), planned.simulate(array))
        assert ("in the file" in chain.plan.reasons[name]) == (accepts.stored_bits(planned) > width)
    np.testing.assert_allclose(chain.results()["output"], chain.program.run(chain.feeds)["output"], atol=MARGIN)


@pytest.mark.parametrize("activations", WIDTHS)
@pytest.mark.parametrize("weights", [2, 5, 8])
def test_engines_agree_at_every_width(weights: int, activations: int) -> None:
    """Narrow activations are clipped as codes behind their QuantizeLinear, which itself saturates at the container's ends."""
    chain = Chain.of(networks.conv_bn_relu(), recipe(weights, activations))
    expected = chain.program.codes(chain.feeds, chain.coded)
    assert {chain.plan.encodings[name].format.bits for name in chain.coded} == {activations}
    assert max(codes.max() for codes in expected.values()) == 2**activations - 1
    assert_same(chain.codes(optimise=True), expected, chain.coded)


def test_files_of_narrow_weights_in_blocks_are_packed(tmp_path: Path) -> None:
    """Half a byte for each code, a quarter where the target takes the opset that has it, and a scale for every block."""
    model = networks.mlp()
    weight = next(t for t in model.graph.initializer if len(t.dims) == 2)
    for width, target, held_type in PACKED:
        quantized = bs.quantize(model, recipe=recipe(width, "float", "group:4"), target=target)
        (path, *_) = quantized.write(tmp_path / f"{width}.onnx")
        stored = onnx.load(path)
        onnx.checker.check_model(stored)
        assert (stored.opset_import[0].version, stored.ir_version) == ((25, 13) if held_type == TensorProto.INT2 else (21, 10))
        (held,) = [t for t in stored.graph.initializer if t.name == weight.name]
        assert held.data_type == held_type
        assert len(held.raw_data) == -(-int(np.prod(weight.dims)) // (4 if held_type == TensorProto.INT2 else 2))
        assert str(width) in (str(quantized.plan.encodings[weight.name].format.bits), quantized.plan.encodings[weight.name].format.name)
        np.testing.assert_allclose(Session(bs.load(path)).run(networks.feeds(model, 4))["output"],
                                   Session(quantized.network).run(networks.feeds(model, 4))["output"], atol=MARGIN)
        assert bs.load_plan(path.with_suffix(".plan.json")).encodings == quantized.plan.encodings


def test_unsigned_weights_go_where_the_target_takes_them() -> None:
    chain = Chain.of(networks.conv_bn_relu(), recipe("uint3"), "onnx")
    assert chain.written.graph.initializers["conv1.weight"].dtype == ir.DataType.UINT4
    assert_same(chain.codes(optimise=True), chain.program.codes(chain.feeds, chain.coded), chain.coded)
    with pytest.raises(bs.BitsmithError, match=r"target 'onnxruntime' has no uint3 weights; it takes int8.*choose the target 'onnx'"):
        bs.quantize(networks.mlp(), recipe=recipe("uint3", "float"))
