"""Reductions over windows and axes."""

from collections.abc import Sequence
from math import prod

import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, input_at, integers
from bitsmith.integer.instructions import AveragePool, Instruction, MaxPool, Mean
from bitsmith.integer.requantization import mean_multiplier
from bitsmith.integer.windows import Window
from bitsmith.operators.operator import Flow, Operator
from bitsmith.operators.site import Site, known
from bitsmith.operators.windows import read_window


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


def average_obstacle(node: ir.Node) -> str:
    """What onnxruntime's integer kernel refuses, or computes otherwise than its float kernel does."""
    if any(step != 1 for step in attribute(node, "dilations", [1])):
        return "it averages over dilated windows"
    counts_all = attribute(node, "ceil_mode", 0) and attribute(node, "count_include_pad", 0)
    return "it counts padding in windows that reach beyond it (ceil_mode and count_include_pad)" if counts_all else ""


def lower_average(site: Site) -> Sequence[Instruction]:
    """One AveragePool, or one Mean: onnxruntime adds integers where the window is as large as the tensor, and real numbers elsewhere."""
    kernel: list[int] = attribute(site.node, "kernel_shape", [])
    if site.dims(0)[2:] == tuple(kernel) and not any(map(any, read_window(site, kernel).pads)):
        return lower_mean(site)
    average = site.arithmetic.average.of(site.encoding(0), prod(kernel), site.target.scale, site.codes_out)
    padded = bool(attribute(site.node, "count_include_pad", 0))
    return [AveragePool((site.input(0),), site.output, read_window(site, kernel), average, padded)]


def lower_mean(site: Site) -> Sequence[Instruction]:
    """One Mean over all spatial axes, or over those that ReduceMean names."""
    dims = site.dims(0)
    axes = integers(input_at(site.node, 1)) if site.node.op_type == "ReduceMean" else list(range(2, len(dims)))
    axes = sorted(axis % len(dims) for axis in axes or [])
    if not axes or axes[0] == 0:
        raise LoweringError(f"{site.name} averages over the samples.")
    count = prod(known([dims[axis] for axis in axes], site.name))
    multiplier = mean_multiplier(site.encoding(0).scale, site.target.scale, count)
    kept = bool(attribute(site.node, "keepdims", 1))
    requantize = site.arithmetic.requantize.of(multiplier, site.codes_out)
    return [Mean((site.input(0),), site.output, site.source(0), tuple(axes), requantize, kept)]


def lower_max_pool(site: Site) -> Sequence[Instruction]:
    """One MaxPool; GlobalMaxPool has a window as large as its input."""
    if site.node.op_type == "GlobalMaxPool":
        return [MaxPool((site.input(0),), site.output, Window.of(site.sizes(0)[1:]))]
    return [MaxPool((site.input(0),), site.output, read_window(site, attribute(site.node, "kernel_shape", [])))]


EXTREME = Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=reduction_obstacle)
OPERATORS = {
    "AveragePool": Operator(obstacle=average_obstacle, lower=lower_average),
    "GlobalAveragePool": Operator(lower=lower_mean),
    "ReduceMean": Operator(obstacle=reduction_obstacle, lower=lower_mean),
    "MaxPool": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=max_pool_obstacle, lower=lower_max_pool),
    "GlobalMaxPool": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_max_pool),
    "ReduceMax": EXTREME,
    "ReduceMin": EXTREME,
}
