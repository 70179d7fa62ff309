"""From a network and its plan to a program of float32 numbers. Weights that the plan narrows stay codes; nothing else has any."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, constant, input_at, integers, is_float, sole_consumer
from bitsmith.integer.instructions import FLOAT32, LookUp
from bitsmith.integer.program import Program
from bitsmith.integer.requantization import along
from bitsmith.integer.windows import Window
from bitsmith.lowering import clamp_bounds, clamps_between
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.float32 import REAL
from bitsmith.operators import Flow, is_clamp, operator_of
from bitsmith.operators.products import per_channel, turned_kernels
from bitsmith.operators.raw import FORMATS, raw_encodings
from bitsmith.operators.site import Site, known
from bitsmith.operators.windows import read_window, transposed_window
from bitsmith.planning.plan import Plan
from bitsmith.real.instructions import (
    NO_LIMITS,
    CurveOfCodes,
    Limits,
    RealAveragePool,
    RealCast,
    RealClamp,
    RealConvolve,
    RealCurve,
    RealMaxPool,
    RealMean,
    RealMultiply,
    RealMultiplyPair,
    RealNormalize,
    RealPair,
    RealSoftmax,
    Weights,
)

Lower = Callable[[Site, Limits], Sequence[Any]]
Number = tuple[str, float]      # an attribute's name, and what it is where the node does not say
AS_IN_INTEGERS = (Flow.INPUT_TO_OUTPUT, Flow.SHARED, Flow.TO_PLACES)         # movements and choices
INTEGERS = (*FORMATS, ir.DataType.INT32, ir.DataType.INT64)
SQUARE, ROOT = 2.0, 0.5
ELSEWHERE = "; the target 'onnxruntime' has it"


def lower_to_reals(network: ir.Model, plan: Plan) -> Program:
    """The program of a network that computes in float.

    Raises LoweringError, by name, for what has no instruction, and for activations to which the plan gives codes.
    """
    graph = network.graph
    values = [*graph.inputs, *(v for node in graph for v in (*node.inputs, *node.outputs) if v is not None)]
    reals = {v.name or "": REAL for v in values if is_float(v)}
    made: dict[str, Any] = {}
    covered: set[ir.Value] = set()
    for node in graph:
        if not covered.issuperset(node.outputs):
            check_node(node, plan)
            found, behind = lower_node(node, {**reals, **{n: e for n, e in plan.encodings.items() if n in constants_of(node)}})
            made |= {i.output: i for i in found if i.output not in made}      # a constant may serve several nodes
            covered |= behind
    raw = raw_encodings(graph)
    inputs = {v.name or "": REAL if is_float(v) else raw.get(v.name or "") for v in graph.inputs}
    integers = {v.name for node in graph for v in node.outputs if not is_float(v)}
    encoded = {**{n: REAL for n in made if n not in integers}, **{n: e for n, e in inputs.items() if e is not None}}
    return Program(tuple(made.values()), inputs, tuple(v.name or "" for v in graph.outputs), encoded)


def compute_curves(network: ir.Model, program: Program) -> Program:
    """An integer program whose activation functions are computed in float, from code to code, instead of looked up in tables.

    Raises LoweringError, by name, for a table of anything but one function.
    """
    nodes = {v.name or "": node for node in network.graph for v in node.outputs}
    return replace(program, instructions=tuple(
        computed(nodes[i.output], i, program.encodings) if isinstance(i, LookUp) else i for i in program.instructions))


def computed(node: ir.Node, table: LookUp, encodings: Mapping[str, Encoding]) -> CurveOfCodes:
    """The function that a table holds."""
    (source,), rule = table.inputs, CURVES.get(node.op_type)
    found = [] if rule is None else rule(Site(node, {}, table.output, None, FLOAT32), NO_LIMITS)
    if len(found) != 1 or not isinstance(found[0], RealCurve) or found[0].inputs != table.inputs:
        raise LoweringError(f"The table of '{table.output}' holds more than one function, or one that has no instruction in float; "
                            "leave 'math-curves' out.")
    return CurveOfCodes((source,), table.output, encodings[source], encodings[table.output], found[0].curve, found[0].numbers)


def constants_of(node: ir.Node) -> set[str]:
    return {v.name or "" for v in node.inputs if constant(v) is not None and v is not None}


def check_node(node: ir.Node, plan: Plan) -> None:
    """Raises LoweringError for a node that has no instruction here, with the reason."""
    operator, said = operator_of(node), f"{node.op_type} '{node.name}'"
    coded = [v.name for v in (*node.inputs, *node.outputs) if v is not None and constant(v) is None and v.name in plan.encodings]
    if coded:
        raise LoweringError(f"'{coded[0]}' has codes, and this program computes in float: set activations = \"float\" in the recipe.")
    if rule_of(node) is None and (operator is None or operator.flow not in AS_IN_INTEGERS or operator.lower is None):
        raise LoweringError(f"{said} has no instruction in float{ELSEWHERE}.")
    if operator is not None and (obstacle := operator.obstacle(node)):
        raise LoweringError(f"{said} has no instruction in float: {obstacle}{ELSEWHERE}.")
    if node.op_type not in PRODUCTS and (narrow := constants_of(node) & plan.encodings.keys()):
        raise LoweringError(f"{said} reads '{min(narrow)}', which the plan narrows for another node; keep that one's weights in float.")


def rule_of(node: ir.Node) -> Lower | None:
    """None for movements, choices, other domains and what has no instruction."""
    return RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def lower_node(node: ir.Node, encodings: Mapping[str, Encoding]) -> tuple[Sequence[Any], set[ir.Value]]:
    """(instructions, values that exist through them or are needed no more)."""
    result = node.outputs[0]
    rule, operator = rule_of(node), operator_of(node)
    if rule is None:
        assert operator is not None
        assert operator.lower is not None
        return operator.lower(Site(node, encodings, result.name or "", None, FLOAT32)), set(node.outputs)
    final = last_clamp(result) if node.op_type in CLAMPING else result
    clamps = clamps_between(result, final)
    found = rule(Site(node, encodings, final.name or "", None, FLOAT32), limits_of(clamps))
    return found, {*node.outputs, *(v for clamp in clamps for v in clamp.outputs)}


def last_clamp(value: ir.Value) -> ir.Value:
    """What the clamps behind a value make of it, as long as nobody else reads what is between."""
    while (node := sole_consumer(value)) is not None and is_clamp(node) and node.inputs[0] is value:
        value = node.outputs[0]
    return value


def limits_of(clamps: Sequence[ir.Node]) -> Limits:
    """Of all of them, one after the other."""
    low, high = -inf, inf
    for clamp in clamps:
        at_least, at_most = clamp_bounds(clamp)
        low, high = min(max(low, at_least), at_most), max(min(high, at_most), at_least)
    return Limits(low, high)


def weights_of(site: Site, axis: int, turn: Callable[[Any], Any] = np.asarray) -> Weights:
    """The weights with their output channels along `axis`, as they are or, by `turn`, as the instruction wants them."""
    encoding, stored = site.encoding(1), site.stored(1)
    scales, zeros = per_channel(encoding, stored.shape, axis)
    steps = stored if encoding == REAL else stored.astype(np.int32) - along(zeros, stored.ndim, axis)
    turned = np.ascontiguousarray(turn(steps))
    repeat = len(turned) // stored.shape[axis]              # a transposed convolution's channels come again in every group
    scale = None if encoding == REAL else np.tile(np.broadcast_to(scales, stored.shape[axis]), repeat).astype(np.float32)
    bias = np.zeros(len(turned)) if input_at(site.node, 2) is None else site.stored(2)
    return Weights(turned, scale, np.broadcast_to(bias, len(turned)).astype(np.float32))


def lower_convolution(site: Site, limits: Limits) -> Sequence[Any]:
    weights = weights_of(site, 0)
    window = read_window(site, weights.steps.shape[2:])
    return [RealConvolve((site.input(0),), site.output, weights, window, attribute(site.node, "group", 1), (), limits)]


def lower_transposed(site: Site, limits: Limits) -> Sequence[Any]:
    groups = attribute(site.node, "group", 1)
    weights = weights_of(site, 1, lambda steps: turned_kernels(steps, groups))
    kernel = weights.steps.shape[2:]
    window, spread = transposed_window(site.node, kernel), tuple(attribute(site.node, "strides", [1] * len(kernel)))
    return [RealConvolve((site.input(0),), site.output, weights, window, groups, spread, limits)]


def lower_gemm(site: Site, limits: Limits) -> Sequence[Any]:
    transposed = bool(attribute(site.node, "transB", 0))
    weights = weights_of(site, 0 if transposed else 1, np.asarray if transposed else np.transpose)
    return [RealMultiply((site.input(0),), site.output, weights, limits)]


def lower_matrix_product(site: Site, limits: Limits) -> Sequence[Any]:
    """By a matrix of weights, or of two values."""
    weights = constant(site.value(1))
    if weights is not None and weights.ndim == 2:
        return [RealMultiply((site.input(0),), site.output, weights_of(site, 1, np.transpose), limits)]
    if constants_of(site.node):
        raise LoweringError(f"{site.name} has weights that are no matrix on the right{ELSEWHERE}.")
    return [RealMultiplyPair((site.input(0), site.input(1)), site.output, limits)]


def pair(operation: str) -> Lower:
    """Two operands, or more, which join one after the other."""

    def lower(site: Site, limits: Limits) -> Sequence[Any]:
        names = [site.input(i) for i in range(len(site.node.inputs))]
        made: list[Any] = site.constants(range(len(names)))
        for count, name in enumerate(names[1:-1], 2):
            made.append(RealPair((names[0], name), f"{site.output} (of {count})", operation))
            names[0] = made[-1].output
        if len(names) == 1:
            return [*made, RealClamp((names[0],), site.output, limits)]
        return [*made, RealPair((names[0], names[-1]), site.output, operation, limits)]

    return lower


def curve(name: str, first: Number = ("", 0.0), second: Number = ("", 0.0)) -> Lower:
    """A function with up to two numbers, attributes of the node or as they stand here."""

    def lower(site: Site, limits: Limits) -> Sequence[Any]:
        a, b = (float(attribute(site.node, key, default)) for key, default in (first, second))
        return [RealCurve((site.input(0),), site.output, name, (a, b))]

    return lower


def lower_cast(site: Site, limits: Limits) -> Sequence[Any]:
    """From integers: raw inputs, token ids, places."""
    source, result = site.value(0), site.node.outputs[0]
    if source.dtype not in INTEGERS or not is_float(result):
        kinds = f"{words_for(result.dtype)} of {words_for(source.dtype)}"
        raise LoweringError(f"{site.name} makes {kinds}; an instruction in float makes float of integers{ELSEWHERE}.")
    return [RealCast((site.input(0),), site.output)]


def words_for(kind: ir.DataType | None) -> str:
    return "values of unknown type" if kind is None else kind.name.lower()


def lower_clamp(site: Site, limits: Limits) -> Sequence[Any]:
    """One that nothing before it does."""
    return [RealClamp((site.input(0),), site.output, limits_of([site.node]))]


def lower_average(site: Site, limits: Limits) -> Sequence[Any]:
    window = read_window(site, attribute(site.node, "kernel_shape", []))
    return [RealAveragePool((site.input(0),), site.output, window, bool(attribute(site.node, "count_include_pad", 0)))]


def lower_mean(site: Site, limits: Limits) -> Sequence[Any]:
    """Over the spatial axes, or over those that ReduceMean names."""
    rank = len(site.dims(0))
    named = integers(input_at(site.node, 1)) if site.node.op_type == "ReduceMean" else list(range(2, rank))
    axes = tuple(sorted(axis % rank for axis in named or range(rank)))
    return [RealMean((site.input(0),), site.output, axes, bool(attribute(site.node, "keepdims", 1)))]


def lower_max_pool(site: Site, limits: Limits) -> Sequence[Any]:
    everything = site.node.op_type == "GlobalMaxPool"
    window = Window.of(site.sizes(0)[1:]) if everything else read_window(site, attribute(site.node, "kernel_shape", []))
    return [RealMaxPool((site.input(0),), site.output, window)]


def lower_softmax(site: Site, limits: Limits) -> Sequence[Any]:
    axis = attribute(site.node, "axis", -1) % len(site.dims(0))
    if axis == 0:
        raise LoweringError(f"{site.name} runs along the samples{ELSEWHERE}.")
    return [RealSoftmax((site.input(0),), site.output, axis)]


def lower_normalization(site: Site, limits: Limits) -> Sequence[Any]:
    """Of layers, by mean and deviation or by the root of the mean square."""
    dims = site.dims(0)
    axis = attribute(site.node, "axis", -1) % len(dims)
    if axis == 0:
        raise LoweringError(f"{site.name} normalizes over the samples{ELSEWHERE}.")
    shape = known(dims[axis:], site.name)
    bias = np.zeros((), np.float32) if input_at(site.node, 2) is None else site.stored(2)
    gain, bias = (np.ascontiguousarray(np.broadcast_to(part, shape)) for part in (site.stored(1), bias))
    epsilon, centred = attribute(site.node, "epsilon", 1e-5), site.node.op_type == "LayerNormalization"
    return [RealNormalize((site.input(0),), site.output, gain, bias, epsilon, centred)]


def lower_power(site: Site, limits: Limits) -> Sequence[Any]:
    """To a constant power: squares and roots exactly."""
    exponent = constant(site.value(1))
    if exponent is None or exponent.size != 1 or exponent.ndim > len(site.dims(0)):
        raise LoweringError(f"{site.name} needs one constant exponent for an instruction in float{ELSEWHERE}.")
    name, power = site.input(0), float(exponent.reshape(()))
    if power == SQUARE:
        return [RealPair((name, name), site.output, "multiply")]
    return [RealCurve((name,), site.output, "sqrt" if power == ROOT else "power", (power, 0.0))]


def lower_gelu(site: Site, limits: Limits) -> Sequence[Any]:
    by_tanh = attribute(site.node, "approximate", "none") == "tanh"
    return [RealCurve((site.input(0),), site.output, "gelu_tanh" if by_tanh else "gelu")]


PRODUCTS: Mapping[str, Lower] = {
    "Conv": lower_convolution, "ConvTranspose": lower_transposed, "Gemm": lower_gemm, "MatMul": lower_matrix_product,
}
PAIRS: Mapping[str, Lower] = {
    "Add": pair("add"), "Sum": pair("add"), "Sub": pair("subtract"), "Mul": pair("multiply"), "Div": pair("divide"),
    "PRelu": pair("leak"),
}
CLAMPING = PRODUCTS.keys() | PAIRS.keys()
CURVES: Mapping[str, Lower] = {
    "Abs": curve("abs"), "Elu": curve("elu", ("alpha", 1.0)), "Erf": curve("erf"), "Exp": curve("exp"), "Gelu": lower_gelu,
    "HardSigmoid": curve("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)), "HardSwish": curve("hard_swish", ("", 1 / 6), ("", 0.5)),
    "LeakyRelu": curve("leaky_relu", ("alpha", 0.01)), "Log": curve("log"), "Neg": curve("neg"), "Reciprocal": curve("reciprocal"),
    "Sigmoid": curve("sigmoid"), "Softplus": curve("softplus"), "Sqrt": curve("sqrt"), "Tanh": curve("tanh"),
}
RULES: Mapping[str, Lower] = {
    **PRODUCTS, **PAIRS, **CURVES, "Cast": lower_cast, "Relu": lower_clamp, "Clip": lower_clamp, "AveragePool": lower_average,
    "GlobalAveragePool": lower_mean, "ReduceMean": lower_mean, "MaxPool": lower_max_pool, "GlobalMaxPool": lower_max_pool,
    "Softmax": lower_softmax, "LayerNormalization": lower_normalization, "RMSNormalization": lower_normalization, "Pow": lower_power,
}
