"""Softmax and layer normalization: integers where a target has no float arithmetic; elsewhere they stay float, which is finer."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, constant, input_at
from bitsmith.integer.instructions import Instruction, Softmax
from bitsmith.integer.normalization import normalization_of
from bitsmith.numerics import Encoding, Format
from bitsmith.operators.operator import Operator
from bitsmith.operators.site import Site, known


def probabilities(format: Format) -> Encoding:
    """0 to 1 in steps of 2**-bits, as all frameworks have it; 1 itself becomes the highest code."""
    return Encoding(format, np.asarray(2.0**-format.bits, np.float32), np.asarray(format.lowest, np.int32))


def always(node: ir.Node) -> bool:
    return True


def lower_softmax(site: Site) -> Sequence[Instruction]:
    """One Softmax."""
    site.check_integers()
    axis = attribute(site.node, "axis", -1) % len(site.dims(0))
    return [Softmax.of(site.input(0), site.output, axis, site.encoding(0), (site.target, site.codes_out))]


def normalization_obstacle(node: ir.Node) -> str:
    """Gain and bias must be known; mean and deviation are no codes."""
    if any(v.name and v.uses() for v in node.outputs[1:]):
        return "it hands out means and deviations"
    computed = [v for v in node.inputs[1:] if v is not None and constant(v) is None]
    return f"its operand '{computed[0].name}' is computed while the network runs" if computed else ""


def lower_normalization(site: Site) -> Sequence[Instruction]:
    """One LayerNormalize."""
    site.check_integers()
    dims, scale = site.dims(0), constant(site.value(1))
    axis = attribute(site.node, "axis", -1) % len(dims)
    if axis == 0 or scale is None:
        raise LoweringError(f"{site.name} normalizes over the samples.")
    shape = known(dims[axis:], site.name)
    bias = constant(input_at(site.node, 2))
    line = np.broadcast_to(scale, shape), np.broadcast_to(np.zeros(()) if bias is None else bias, shape)
    epsilon = attribute(site.node, "epsilon", 1e-5)
    return [normalization_of(site.input(0), site.output, site.encoding(0), (site.target, site.codes_out), line, epsilon)]


OPERATORS = {
    "Softmax": Operator(without_float=always, lower=lower_softmax, encode=probabilities),
    "LayerNormalization": Operator(without_float=always, obstacle=normalization_obstacle, lower=lower_normalization),
}
