"""A quantized file without its plan says as much of itself as it holds."""

import re
from dataclasses import replace
from pathlib import Path

import networks
import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic

import bitsmith as bs
from bitsmith.analysis.carried_plan import carried_plan
from bitsmith.analysis.engines import Subject

RECIPES = ("weights_int8", "weights_int4", "dynamic_int8", "int8")


@pytest.mark.parametrize("name", ["conv_bn_relu", "attention"])
@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_was_planned_is_read_back(name: str, target: str, recipe: str, tmp_path: Path) -> None:
    model = networks.NETWORKS[name]()
    result = bs.quantize(bs.load(model), networks.feeds(model, 8), recipe=recipe, target=target)
    result.write(tmp_path / "q.onnx")
    found = carried_plan(Subject(tmp_path / "q.onnx"))
    shapes = {v.name: v.const_value.shape.numpy() for v in result.refined.graph.initializers.values() if v.const_value is not None}
    assert found.encodings.keys() == result.plan.encodings.keys()
    for value, encoding in result.plan.encodings.items():
        shape = shapes.get(value, ())
        held = found.encodings[value]
        assert replace(held, blocks=encoding.blocks) == encoding
        assert held.blocks.shape(shape) == encoding.blocks.shape(shape), "blocks may be cut to the length of their axis"
    assert found.dynamic == result.plan.dynamic
    if not found.dynamic:
        in_float = {name for name in found.in_float if name in result.plan.reasons}
        assert result.plan.in_float <= found.in_float
        assert all("float" in found.reasons[name] for name in in_float)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_page_is_written_without_a_plan(recipe: str, tmp_path: Path) -> None:
    model = networks.conv_bn_relu()
    onnx.save(model, tmp_path / "net.onnx")
    bs.quantize(bs.load(model), networks.feeds(model, 8), recipe=recipe).write(tmp_path / "q.onnx")
    (tmp_path / "q.plan.json").unlink()
    bs.write_report(tmp_path / "net.onnx", tmp_path / "q.onnx", tmp_path / "q.html", data=networks.feeds(model, 3))
    page = (tmp_path / "q.html").read_text()
    assert "as the quantized file itself says, without reasons: there is no &#39;q.plan.json&#39;" in page
    weights = re.findall(r'<td class="f">([^<]*)</td><td class="f">', page)
    assert sum("int" in text for text in weights) == 3


def test_a_plan_of_another_network_is_not_taken(tmp_path: Path) -> None:
    for name in ("conv_bn_relu", "depthwise"):
        model = networks.NETWORKS[name]()
        onnx.save(model, tmp_path / f"{name}.onnx")
        bs.quantize(bs.load(model), networks.feeds(model, 4)).write(tmp_path / f"{name}.q.onnx")
    (tmp_path / "depthwise.q.plan.json").rename(tmp_path / "conv_bn_relu.q.plan.json")
    bs.write_report(tmp_path / "conv_bn_relu.onnx", tmp_path / "conv_bn_relu.q.onnx", tmp_path / "q.html")
    assert "is of another network" in (tmp_path / "q.html").read_text()


def test_codes_that_nobody_can_read_are_said_aloud(tmp_path: Path) -> None:
    model = networks.attention(opset=17)
    onnx.save(model, tmp_path / "net.onnx")
    quantize_dynamic(tmp_path / "net.onnx", tmp_path / "q.onnx")
    bs.write_report(tmp_path / "net.onnx", tmp_path / "q.onnx", tmp_path / "q.html", data=networks.feeds(model, 3))
    assert "No codes were found in the quantized file" in (tmp_path / "q.html").read_text()
