"""What BatchNorm said of its results outlives its folding, follows scales, and never gets into a file."""

import numpy as np
import onnx_ir as ir

import bitsmith as bs
from bitsmith.graph import constant
from bitsmith.rewrites.normal import KEY, Normal, note_normal, noted_normal
from bitsmith.rewrites.products import read_product, scale_outputs
from tests import networks


def noted(network: ir.Model) -> dict[str, Normal]:
    return {v.name or "": normal for node in network.graph for v in node.outputs if (normal := noted_normal(v)) is not None}


def test_a_folded_normalization_leaves_mean_and_variance_behind() -> None:
    model = networks.conv_bn_relu()
    numbers = {t.name: np.frombuffer(t.raw_data, np.float32) for t in model.graph.initializer}
    found = noted(bs.load(model))
    assert set(found) == {"bn1_out", "bn2_out"}
    np.testing.assert_array_equal(found["bn1_out"].mean, numbers["bn1.bias"])
    np.testing.assert_array_equal(found["bn1_out"].variance, numbers["bn1.weight"].astype(np.float64) ** 2)


def test_one_folded_forwards_tells_what_it_read() -> None:
    b = networks.Builder(21, seed=2)
    b.conv(b.batch_norm(b.relu(b.conv("input", "first", (4, 3, 1, 1))), "norm", 4), "second", (2, 4, 1, 1))
    b.node("Identity", ["second_out"], "output")
    model = b.model({"input": ("batch", 3, 4, 4)}, {"output": ("batch", 2, 4, 4)})
    (found,) = noted(bs.load(model)).values()
    held = {t.name: np.frombuffer(t.raw_data, np.float32) for t in model.graph.initializer}
    np.testing.assert_array_equal(found.mean, held["norm.running_mean"])
    np.testing.assert_array_equal(found.variance, held["norm.running_var"])


def test_copies_keep_it_and_files_do_not(tmp_path: object) -> None:
    network = bs.load(networks.conv_bn_relu())
    assert set(noted(network.clone())) == {"bn1_out", "bn2_out"}
    bare = network.clone()
    for node in bare.graph:
        node.outputs[0].meta.pop(KEY, None)
    assert ir.to_proto(network).SerializeToString() == ir.to_proto(bare).SerializeToString()


def test_it_follows_the_channels_when_they_are_scaled() -> None:
    network = bs.load(networks.conv_bn_relu())
    value = next(v for node in network.graph for v in node.outputs if v.name == "bn1_out")
    before, product = noted_normal(value), read_product(value.producer())     # type: ignore[arg-type]
    assert before is not None
    assert product is not None
    times = np.arange(1.0, 7.0)
    assert scale_outputs(network.graph, product, times, times - 2)
    after = noted_normal(value)
    assert after is not None
    np.testing.assert_allclose(after.mean, before.mean * times + times - 2)
    np.testing.assert_allclose(after.variance, before.variance * times**2)


def test_a_scale_that_does_not_fit_changes_nothing() -> None:
    network = bs.load(networks.conv_bn_relu())
    value = next(v for node in network.graph for v in node.outputs if v.name == "bn1_out")
    product = read_product(value.producer())     # type: ignore[arg-type]
    assert product is not None
    before, weight = noted_normal(value), constant(product.node.inputs[1])
    assert not scale_outputs(network.graph, product, np.full(6, 1e300), np.zeros(6))
    assert noted_normal(value) == before
    np.testing.assert_array_equal(constant(product.node.inputs[1]), weight)     # type: ignore[arg-type]


def test_nothing_is_noted_where_nobody_said() -> None:
    value = ir.Value(name="x")
    assert noted_normal(value) is None
    note_normal(value, None)
    assert noted_normal(value) is None
