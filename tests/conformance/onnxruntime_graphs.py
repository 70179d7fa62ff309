"""Builds small graphs of integer operators and runs them in onnxruntime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Format

Array = npt.NDArray[Any]
MICROSOFT = "com.microsoft"


def vector_products() -> bool:
    """Whether this processor sums products of uint8 and int8 without saturating pairs of them at 16 bits."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and "vnni" in info.read_text()


class Graph:
    """Collects constants and nodes; every node has one output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.feeds: dict[str, Array] = {}

    def constant(self, array: Any, dtype: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def feed(self, array: Array) -> str:
        name = f"input{len(self.feeds)}"
        self.feeds[name] = array
        return name

    def node(self, kind: str, inputs: Sequence[str], *, domain: str = "", attributes: Mapping[str, Any] | None = None) -> str:
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **(attributes or {})))
        return name

    def encoding(self, encoding: Encoding) -> list[str]:
        """Scale and zero point; one row where channels have their own."""
        shape = (-1,) if encoding.blocks.sizes else ()
        return [self.constant(encoding.scale.reshape(shape), np.float32),
                self.constant(encoding.zero_point.reshape(shape), encoding.format.storage)]

    def dequantize(self, codes: str, encoding: Encoding) -> str:
        axis = encoding.blocks.channel_axis
        return self.node("DequantizeLinear", [codes, *self.encoding(encoding)], attributes={} if axis is None else {"axis": axis})

    def quantize(self, real: str, encoding: Encoding) -> str:
        return self.node("QuantizeLinear", [real, *self.encoding(encoding)])

    def session(self, output: str, optimised: str = "") -> onnxruntime.InferenceSession:
        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in self.feeds.items()]
        graph = helper.make_graph(self.nodes, "graph", inputs, [onnx.ValueInfoProto(name=output)], self.constants)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = optimised
        options.log_severity_level = 3
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, output: str) -> Array:
        return np.asarray(self.session(output).run([output], self.feeds)[0])

    def run_fused(self, output: str, kind: str, folder: Path) -> Array:
        """As `run`, and sure that onnxruntime made an integer operator of this kind of it."""
        path = folder / "optimised.onnx"
        session = self.session(output, str(path))
        kinds = {node.op_type for node in onnx.load(path).graph.node}
        assert kind in kinds, f"onnxruntime made {kinds} of it"
        return np.asarray(session.run([output], self.feeds)[0])


def random_encoding(random: np.random.Generator, form: Format, *, near: float = 1.0) -> Encoding:
    """A scale around `near` and any zero point."""
    return Encoding(form, np.float32(near * np.exp(random.uniform(-1, 1))), np.int32(random.integers(form.lowest, form.highest + 1)))


def random_codes(random: np.random.Generator, form: Format, *shape: int) -> Array:
    """Every code, the extremes among them."""
    return random.integers(form.lowest, form.highest + 1, shape).astype(form.storage)
