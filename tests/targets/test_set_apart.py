"""A layer that the recipe keeps in float stays in float, though its neighbours compute on codes."""

from pathlib import Path

import networks
import onnx
import onnxruntime
import pytest
from networks import Builder

import bitsmith as bs


def three_convolutions(*, bias: bool) -> onnx.ModelProto:
    b = Builder(21, 0)
    same = {"pads": [1, 1, 1, 1]}
    x = b.relu(b.conv("input", "first", (16, 16, 3, 3), same))
    operands = [x, b.weight("middle.weight", 16, 16, 3, 3), *([b.vector("middle.bias", 16)] if bias else [])]
    x = b.relu(b.node("Conv", operands, "middle_out", {"kernel_shape": [3, 3], **same}))
    b.conv(x, "last", (16, 16, 3, 3), same)
    return b.model({"input": ("batch", 16, 8, 8)}, {"last_out": ("batch", 16, 8, 8)})


def kernels(path: Path) -> list[str]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = f"{path}.optimised.onnx", 3
    onnxruntime.InferenceSession(str(path), options)
    return [node.op_type for node in onnx.load(f"{path}.optimised.onnx").graph.node]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weights", [None, "float"])
def test_a_layer_kept_in_float_between_codes_is_not_quantized_by_the_runtime(bias: bool, weights: str | None, tmp_path: Path) -> None:
    model = three_convolutions(bias=bias)
    data = networks.feeds(model, 8)
    recipe = bs.recipes.int8().with_rules(bs.Rule("/middle_out", weights=weights, activations="float")).with_everything()
    result = bs.quantize(model, data, recipe=recipe)
    path = result.write(tmp_path / "net.onnx")[0]
    assert kernels(path).count("QLinearConv") == 2
    assert bs.evaluate(path, data, against=result.original).snr_db == pytest.approx(
        bs.evaluate(path, data, against=result.original, engine="simulated").snr_db, abs=0.1
    )


def test_layers_on_codes_are_left_alone() -> None:
    model = three_convolutions(bias=True)
    network = bs.quantize(model, networks.feeds(model, 4), recipe=bs.recipes.int8().with_everything()).network
    assert not any(node.op_type == "Sum" for node in network.graph)
