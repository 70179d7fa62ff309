"""What a network is made of, layer by layer, and what each width of its weights would cost."""

from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.cost import float_bytes, multiply_accumulates, parameter_count, weight_arrays
from bitsmith.graph import constant, is_float
from bitsmith.operators import Flow, operator_of

WIDTHS = (16, 8, 4, 3, 2)


@dataclass(frozen=True)
class Layer:
    """One node: shapes in ONNX order with names for free dimensions; the range is that of its weights."""

    name: str
    operator: str
    output: str
    shape: tuple[int | str, ...] | None
    parameters: int
    macs: int | None
    weights: str | None
    low: float | None
    high: float | None
    integer: str


@dataclass(frozen=True)
class Inspection:
    """inputs, outputs  name -> shape; `weight_bytes` maps a width in bits to the bytes of all weights at that width."""

    inputs: dict[str, tuple[int | str, ...] | None]
    outputs: dict[str, tuple[int | str, ...] | None]
    layers: tuple[Layer, ...]
    opset: int
    float_bytes: int
    weight_bytes: dict[int, int]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs or 0 for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**asdict(self), "parameters": self.parameters, "macs": self.macs}


def inspect(network: ir.Model) -> Inspection:
    """Layers, shapes, parameters, MACs, weight ranges, and the bytes of the weights at 16, 8, 4, 3 and 2 bits."""
    graph = network.graph
    weights = {v for node in graph for v in weight_arrays(node)}
    count = sum(v.const_value.size for v in weights if v.const_value is not None)
    return Inspection(
        {v.name or "": shape_of(v) for v in graph.inputs},
        {v.name or "": shape_of(v) for v in graph.outputs},
        tuple(describe_layer(node) for node in graph),
        graph.opset_imports.get("", 0),
        float_bytes(graph),
        {32: 4 * count, **{bits: -(-count * bits // 8) for bits in WIDTHS}},
    )


def describe_layer(node: ir.Node) -> Layer:
    arrays = [a for v in weight_arrays(node) if (a := constant(v)) is not None and a.size]
    return Layer(
        node.name or "", node.op_type, node.outputs[0].name or "", shape_of(node.outputs[0]),
        parameter_count(node), multiply_accumulates(node),
        ", ".join(v.name or "" for v in weight_arrays(node)) or None,
        min((float(a.min()) for a in arrays), default=None), max((float(a.max()) for a in arrays), default=None),
        integer_word(node),
    )


def integer_word(node: ir.Node) -> str:
    """How the node can run on codes: one word, or why it cannot."""
    operator = operator_of(node)
    if not is_float(node.outputs[0]):
        return "not float"
    if operator is None:
        return "stays float"
    if obstacle := operator.obstacle(node):
        return f"stays float: {obstacle}"
    if operator.weights_only:
        return "weights only"
    if operator.without_float(node):
        return "integer in C, else float"
    return {Flow.NONE: "table", Flow.OUTPUT_TO_INPUT: "saturation", Flow.INPUT_TO_OUTPUT: "moves codes", Flow.SHARED: "moves codes"}.get(
        operator.flow, "integer")


def shape_of(value: ir.Value) -> tuple[int | str, ...] | None:
    """Sizes, and names for free dimensions."""
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else str(d.value or "?") for d in value.shape)
