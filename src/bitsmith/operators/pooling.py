"""Reductions over windows and axes."""

import onnx_ir as ir

from bitsmith.graph import attribute, input_at, integers
from bitsmith.operators.operator import Flow, Operator


def reduction_obstacle(node: ir.Node) -> str:
    """Axes must be known before the network runs."""
    if input_at(node, 1) is None or integers(input_at(node, 1)) is not None:
        return ""
    return "its axes are computed while the network runs"


def max_pool_obstacle(node: ir.Node) -> str:
    """Indices of the maxima are not codes."""
    if len(node.outputs) > 1 and node.outputs[1].name:
        return "it hands out indices"
    return "it stores columns first" if attribute(node, "storage_order", 0) else ""


MAXIMUM = Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=reduction_obstacle)
OPERATORS = {
    "AveragePool": Operator(),
    "GlobalAveragePool": Operator(),
    "ReduceMean": Operator(obstacle=reduction_obstacle),
    "MaxPool": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=max_pool_obstacle),
    "GlobalMaxPool": Operator(flow=Flow.INPUT_TO_OUTPUT),
    "ReduceMax": MAXIMUM,
    "ReduceMin": MAXIMUM,
}
