"""Small ONNX networks for tests: seeded random weights, any opset from 9 up, names as exporters write them.

    model = networks.conv_bn_relu(opset=13, batch=4)
    feeds = networks.feeds(model, samples=8)
    for name, build in networks.NETWORKS.items(): ...
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Dim = int | str
VOCABULARY = 50


class Builder:
    """Collects nodes and initializers; spells operators as the opset asks."""

    def __init__(self, opset: int, seed: int) -> None:
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        """Normal, scaled so that variance survives a layer."""
        spread = 1 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.constant(name, self.random.normal(0, spread, shape))

    def vector(self, name: str, length: int, low: float = -0.5, high: float = 0.5) -> str:
        return self.constant(name, self.random.uniform(low, high, length))

    def node(self, kind: str, inputs: Sequence[str], output: str | Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        outputs = [output] if isinstance(output, str) else list(output)
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=f"/{outputs[0]}", **(attributes or {})))
        return outputs[0]

    def conv(self, x: str, name: str, shape: Sequence[int], attributes: Mapping[str, Any] | None = None) -> str:
        """Conv with a bias; shape is that of the weight (out, in / groups, *kernel)."""
        operands = [x, self.weight(f"{name}.weight", *shape), self.vector(f"{name}.bias", shape[0])]
        return self.node("Conv", operands, f"{name}_out", {"kernel_shape": list(shape[2:]), **(attributes or {})})

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """Gemm as PyTorch writes it: weight (out, in), transposed."""
        operands = [x, self.weight(f"{name}.weight", outputs, inputs), self.vector(f"{name}.bias", outputs)]
        return self.node("Gemm", operands, f"{name}_out", {"transB": 1})

    def project(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """MatMul and Add, as PyTorch writes a Linear on rank 3: weight (in, out)."""
        weight = self.constant(f"{name}.weight", self.random.normal(0, inputs**-0.5, (inputs, outputs)))
        product = self.node("MatMul", [x, weight], f"{name}_matmul")
        return self.node("Add", [product, self.vector(f"{name}.bias", outputs)], f"{name}_out")

    def batch_norm(self, x: str, name: str, channels: int) -> str:
        operands = [x, self.vector(f"{name}.weight", channels, 0.5, 1.5), self.vector(f"{name}.bias", channels),
                    self.vector(f"{name}.running_mean", channels), self.vector(f"{name}.running_var", channels, 0.3, 2.0)]
        return self.node("BatchNormalization", operands, f"{name}_out", {"epsilon": 1e-3})

    def relu(self, x: str) -> str:
        return self.node("Relu", [x], f"{x}_relu")

    def clip(self, x: str, low: float, high: float) -> str:
        output = f"{x}_clip"
        if self.opset < 11:
            return self.node("Clip", [x], output, {"min": low, "max": high})
        return self.node("Clip", [x, self.constant(f"{output}_min", low), self.constant(f"{output}_max", high)], output)

    def axes_in(self, kind: str, x: str, output: str, axes: Sequence[int], since: int) -> str:
        """Squeeze, Unsqueeze (13), ReduceMean (18): axes as an attribute before the opset `since`, as an operand from there on."""
        if self.opset < since:
            return self.node(kind, [x], output, {"axes": list(axes)})
        return self.node(kind, [x, self.constant(f"{output}_axes", axes, np.int64)], output)

    def layer_norm(self, x: str, name: str, width: int) -> str:
        """LayerNormalization, or its parts before opset 17."""
        scale, bias = self.vector(f"{name}.weight", width, 0.5, 1.5), self.vector(f"{name}.bias", width)
        if self.opset >= 17:
            return self.node("LayerNormalization", [x, scale, bias], f"{name}_out", {"axis": -1})
        centred = self.node("Sub", [x, self.axes_in("ReduceMean", x, f"{name}_mean", [-1], 18)], f"{name}_centred")
        square = self.node("Mul", [centred, centred], f"{name}_square")
        variance = self.axes_in("ReduceMean", square, f"{name}_variance", [-1], 18)
        safe = self.node("Add", [variance, self.constant(f"{name}_eps", 1e-5)], f"{name}_safe")
        normal = self.node("Div", [centred, self.node("Sqrt", [safe], f"{name}_deviation")], f"{name}_normal")
        scaled = self.node("Mul", [normal, scale], f"{name}_scaled")
        return self.node("Add", [scaled, bias], f"{name}_out")

    def gelu(self, x: str) -> str:
        """Gelu, or x * (1 + erf(x / sqrt 2)) / 2 before opset 20."""
        if self.opset >= 20:
            return self.node("Gelu", [x], f"{x}_gelu")
        root = self.node("Div", [x, self.constant(f"{x}_root2", 2**0.5)], f"{x}_ratio")
        one = self.node("Add", [self.node("Erf", [root], f"{x}_erf"), self.constant(f"{x}_one", 1.0)], f"{x}_plus")
        return self.node("Mul", [self.node("Mul", [x, one], f"{x}_twice"), self.constant(f"{x}_half", 0.5)], f"{x}_gelu")

    def hard_swish(self, x: str) -> str:
        if self.opset >= 14:
            return self.node("HardSwish", [x], f"{x}_hswish")
        gate = self.node("HardSigmoid", [x], f"{x}_gate", {"alpha": 1 / 6, "beta": 0.5})
        return self.node("Mul", [x, gate], f"{x}_hswish")

    def flatten(self, x: str) -> str:
        return self.node("Flatten", [x], f"{x}_flat")

    def model(
        self, inputs: Mapping[str, Sequence[Dim]], outputs: Mapping[str, Sequence[Dim]], dtype: int = TensorProto.FLOAT,
        kinds: Mapping[str, int] | None = None,
    ) -> onnx.ModelProto:
        """dtype is that of the inputs; kinds are those of outputs that are no floats."""
        made = dict.fromkeys(outputs, TensorProto.FLOAT) | dict(kinds or {})
        graph = helper.make_graph(
            self.nodes, "network",
            [helper.make_tensor_value_info(name, dtype, list(shape)) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, made[name], list(shape)) for name, shape in outputs.items()],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=max(4, helper.find_min_ir_version_for(opsets)))
        onnx.checker.check_model(model, full_check=True)
        return model


def conv_bn_relu(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(3, 8, 8) -> two Conv, BatchNorm, Relu blocks with a residual Add, pooled, linear -> (5,)."""
    b = Builder(opset, seed)
    x = b.relu(b.batch_norm(b.conv("input", "conv1", (6, 3, 3, 3), {"pads": [1, 1, 1, 1]}), "bn1", 6))
    y = b.batch_norm(b.conv(x, "conv2", (6, 6, 3, 3), {"pads": [1, 1, 1, 1]}), "bn2", 6)
    y = b.relu(b.node("Add", [x, y], "residual"))
    y = b.flatten(b.node("GlobalAveragePool", [y], "pooled"))
    b.node("Identity", [b.linear(y, "fc", 6, 5)], "output")
    return b.model({"input": (batch, 3, 8, 8)}, {"output": (batch, 5)})


def depthwise(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(4, 9, 9) -> depthwise with stride and uneven padding, pointwise, dilated, Clip 0..6, MaxPool -> (8, 1, 2)."""
    b = Builder(opset, seed)
    x = b.conv("input", "dw", (4, 1, 3, 3), {"group": 4, "strides": [2, 2], "pads": [0, 0, 1, 1]})
    x = b.clip(b.batch_norm(x, "dw_bn", 4), 0.0, 6.0)
    x = b.clip(b.batch_norm(b.conv(x, "pw", (8, 4, 1, 1)), "pw_bn", 8), 0.0, 6.0)
    x = b.conv(x, "dilated", (8, 4, 2, 1), {"group": 2, "dilations": [2, 1]})
    b.node("MaxPool", [x], "output", {"kernel_shape": [2, 2], "strides": [2, 2]})
    return b.model({"input": (batch, 4, 9, 9)}, {"output": (batch, 8, 1, 2)})


def mlp(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(12,) -> three Gemm with Relu and Tanh -> (4,); the weights of the second are kept in a Constant node."""
    b = Builder(opset, seed)
    x = b.relu(b.linear("input", "fc1", 12, 16))
    held = numpy_helper.from_array(b.random.normal(0, 0.25, (16, 16)).astype(np.float32))
    weight = b.node("Constant", [], "fc2.weight", {"value": held})
    x = b.node("Tanh", [b.node("Gemm", [x, weight, b.vector("fc2.bias", 16)], "fc2_out", {"transB": 1})], "hidden")
    b.node("Identity", [b.linear(x, "fc3", 16, 4)], "output")
    return b.model({"input": (batch, 12)}, {"output": (batch, 4)})


def attention(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(6, 8) -> one transformer block of 2 heads, LayerNorm, Softmax, Gelu -> (6, 8)."""
    b = Builder(opset, seed)
    attend(b, "input", 8)
    b.node("Identity", ["block_out"], "output")
    return b.model({"input": (batch, 6, 8)}, {"output": (batch, 6, 8)})


def attend(b: Builder, x: str, width: int) -> str:
    """The transformer block itself: (N, tokens, width) -> the same, named block_out."""
    split = b.constant("heads_shape", [0, 0, 2, width // 2], np.int64)
    y = b.layer_norm(x, "norm1", width)
    q, k, v = (b.node("Reshape", [b.project(y, part, width, width), split], f"{part}_heads") for part in "qkv")
    q, v = (b.node("Transpose", [part], f"{part}_t", {"perm": [0, 2, 1, 3]}) for part in (q, v))
    k = b.node("Transpose", [k], "k_t", {"perm": [0, 2, 3, 1]})
    scores = b.node("Div", [b.node("MatMul", [q, k], "scores"), b.constant("root", (width / 2) ** 0.5)], "scaled")
    mixed = b.node("MatMul", [b.node("Softmax", [scores], "weights", {"axis": 3}), v], "mixed")
    merged = b.node("Transpose", [mixed], "merged", {"perm": [0, 2, 1, 3]})
    joined = b.node("Reshape", [merged, b.constant("joined_shape", [0, 0, width], np.int64)], "joined")
    x = b.node("Add", [x, b.project(joined, "proj", width, width)], "attended")
    y = b.gelu(b.project(b.layer_norm(x, "norm2", width), "up", width, 2 * width))
    return b.node("Add", [x, b.project(y, "down", 2 * width, width)], "block_out")


def swish(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(3, 6, 6) -> SiLU as Mul of Sigmoid, HardSwish, a squeeze-and-excite gate, LeakyRelu, PRelu -> (4, 6, 6)."""
    b = Builder(opset, seed)
    x = b.conv("input", "conv1", (4, 3, 3, 3), {"pads": [1, 1, 1, 1]})
    x = b.node("Mul", [x, b.node("Sigmoid", [x], "silu_gate")], "silu")
    x = b.hard_swish(b.conv(x, "conv2", (4, 4, 1, 1)))
    gate = b.conv(b.node("GlobalAveragePool", [x], "squeezed"), "excite", (4, 4, 1, 1))
    x = b.node("Mul", [x, b.node("HardSigmoid", [gate], "excited")], "gated")
    x = b.node("LeakyRelu", [b.conv(x, "conv3", (4, 4, 1, 1))], "leaky", {"alpha": 0.1})
    slope = b.constant("slope", b.random.uniform(0, 0.3, (4, 1, 1)))
    b.node("PRelu", [b.conv(x, "conv4", (4, 4, 1, 1)), slope], "output")
    return b.model({"input": (batch, 3, 6, 6)}, {"output": (batch, 4, 6, 6)})


def nhwc(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(8, 8, 3) -> convolutions between transposes, names with colons, as tf2onnx writes them -> (5,)."""
    b = Builder(opset, seed)
    x = b.node("Transpose", ["input:0"], "conv1/transpose:0", {"perm": [0, 3, 1, 2]})
    x = b.relu(b.conv(x, "conv1", (6, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}))
    x = b.node("Transpose", [x], "conv1/back:0", {"perm": [0, 2, 3, 1]})
    x = b.node("Mul", [x, b.constant("scale", b.random.uniform(0.5, 1.5, (6,)))], "scaled:0")
    x = b.node("Transpose", [x], "conv2/transpose:0", {"perm": [0, 3, 1, 2]})
    x = b.relu(b.conv(x, "conv2", (6, 6, 3, 3), {"pads": [1, 1, 1, 1]}))
    x = b.node("Transpose", [x], "conv2/back:0", {"perm": [0, 2, 3, 1]})
    x = b.axes_in("ReduceMean", x, "pooled", [1, 2], 18)
    x = b.node("Reshape", [x, b.constant("flat_shape", [-1, 6], np.int64)], "flat")
    b.node("Softmax", [b.project(x, "dense", 6, 5)], "output:0", {"axis": 1})
    return b.model({"input:0": (batch, 8, 8, 3)}, {"output:0": (batch, 5)})


def two_in_two_out(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """left (3, 6, 6) and right (5,) -> image (4, 6, 6) and logits (3,)."""
    b = Builder(opset, seed)
    x = b.conv("left", "conv", (4, 3, 3, 3), {"pads": [1, 1, 1, 1]})
    shift = b.axes_in("Unsqueeze", b.linear("right", "shift", 5, 4), "shift_4d", [2, 3], 13)
    image = b.node("Relu", [b.node("Add", [x, shift], "shifted")], "image")
    pooled = b.flatten(b.node("GlobalMaxPool", [image], "pooled"))
    both = b.node("Concat", [pooled, "right"], "both", {"axis": 1})
    b.node("Sub", [b.linear(both, "head", 9, 3), b.vector("prior", 3)], "logits")
    return b.model({"left": (batch, 3, 6, 6), "right": (batch, 5)}, {"image": (batch, 4, 6, 6), "logits": (batch, 3)})


def tokens(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """int64 token ids (6,) -> embeddings by Gather, one transformer block, mean over tokens -> (4,)."""
    b = Builder(opset, seed)
    x = b.node("Gather", [b.constant("embedding", b.random.normal(0, 1, (VOCABULARY, 8))), "ids"], "embedded", {"axis": 0})
    x = b.node("Add", [x, b.constant("positions", b.random.normal(0, 0.1, (1, 6, 8)))], "placed")
    x = b.axes_in("ReduceMean", attend(b, x, 8), "mean", [1], 18)
    x = b.axes_in("Squeeze", x, "mean_2d", [1], 13)
    b.node("Identity", [b.linear(x, "head", 8, 4)], "output")
    return b.model({"ids": (batch, 6)}, {"output": (batch, 4)}, TensorProto.INT64)


def transposed(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(3, 5, 5) -> ConvTranspose with stride, one grouped, BatchNorm behind both -> (4, 11, 11)."""
    b = Builder(opset, seed)
    operands = ["input", b.weight("up1.weight", 3, 4, 2, 2), b.vector("up1.bias", 4)]
    x = b.node("ConvTranspose", operands, "up1_out", {"strides": [2, 2]})
    x = b.relu(b.batch_norm(x, "bn1", 4))
    x = b.node("ConvTranspose", [x, b.weight("up2.weight", 4, 2, 4, 4)], "up2_out", {"group": 2, "pads": [1, 1, 1, 1]})
    b.batch_norm(x, "bn2", 4)
    b.node("Sigmoid", ["bn2_out"], "output")
    return b.model({"input": (batch, 3, 5, 5)}, {"output": (batch, 4, 11, 11)})


def one_dimensional(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(2, 20) -> Conv of one dimension with uneven padding, dilated, AveragePool -> (4, 5)."""
    b = Builder(opset, seed)
    x = b.relu(b.batch_norm(b.conv("input", "conv1", (4, 2, 3), {"pads": [2, 0]}), "bn1", 4))
    x = b.relu(b.conv(x, "conv2", (4, 4, 3), {"pads": [2, 2], "dilations": [2]}))
    b.node("AveragePool", [x], "output", {"kernel_shape": [4], "strides": [4]})
    return b.model({"input": (batch, 2, 20)}, {"output": (batch, 4, 5)})


def rearranged(opset: int = 21, *, batch: Dim = "batch", seed: int = 0) -> onnx.ModelProto:
    """(4, 6, 6) -> Split, Pad, strided Slice, Resize nearest, Concat, Conv -> (3, 6, 6)."""
    b = Builder(opset, seed)
    x = b.relu(b.conv("input", "conv1", (4, 4, 1, 1)))
    if b.opset < 13:
        b.node("Split", [x], ("first", "second"), {"axis": 1, "split": [1, 3]})
    else:
        b.node("Split", [x, b.constant("parts", [1, 3], np.int64)], ("first", "second"), {"axis": 1})
    joined = b.node("Concat", [double(b, stride(b, "first")), b.conv("second", "conv2", (2, 3, 1, 1))], "joined", {"axis": 1})
    b.node("Identity", [b.conv(grow(b, joined), "conv3", (3, 3, 3, 3))], "output")
    return b.model({"input": (batch, 4, 6, 6)}, {"output": (batch, 3, 6, 6)})


def grow(b: Builder, x: str) -> str:
    """One row and column of zeros on each side."""
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    if b.opset < 11:
        return b.node("Pad", [x], "padded", {"pads": pads})
    return b.node("Pad", [x, b.constant("pads", pads, np.int64)], "padded")


def stride(b: Builder, x: str) -> str:
    """Every second row and column; before opset 10 a Slice has no steps, so a MaxPool of one pixel."""
    if b.opset < 10:
        return b.node("MaxPool", [x], "strided", {"kernel_shape": [1, 1], "strides": [2, 2]})
    bounds = {"starts": [0, 0], "ends": [2**62, 2**62], "axes": [2, 3], "steps": [2, 2]}
    return b.node("Slice", [x, *(b.constant(f"slice_{part}", at, np.int64) for part, at in bounds.items())], "strided")


def double(b: Builder, x: str) -> str:
    """Nearest neighbour, twice the size."""
    scales = b.constant("scales", [1, 1, 2, 2])
    if b.opset < 10:
        return b.node("Upsample", [x, scales], "doubled", {"mode": "nearest"})
    if b.opset < 11:
        return b.node("Resize", [x, scales], "doubled", {"mode": "nearest"})
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    roi = b.constant("roi", []) if b.opset < 13 else ""
    return b.node("Resize", [x, roi, scales], "doubled", how)


NETWORKS: dict[str, Callable[..., onnx.ModelProto]] = {
    build.__name__: build
    for build in (conv_bn_relu, depthwise, mlp, attention, swish, nhwc, two_in_two_out, tokens, transposed, one_dimensional, rearranged)
}


def feeds(model: onnx.ModelProto, samples: int = 4, seed: int = 1) -> dict[str, Array]:
    """Random input for every graph input that is fed: normal floats, token ids below VOCABULARY."""
    random = np.random.default_rng(seed)
    held = {tensor.name for tensor in model.graph.initializer}
    result: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name in held:
            continue
        shape = [dim.dim_value if dim.HasField("dim_value") else samples for dim in value.type.tensor_type.shape.dim]
        is_float = value.type.tensor_type.elem_type == TensorProto.FLOAT
        result[value.name] = random.normal(0, 1, shape).astype(np.float32) if is_float else random.integers(0, VOCABULARY, shape)
    return result


def run(model: onnx.ModelProto, given: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name, from onnxruntime without its optimiser."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(given)), strict=True))
