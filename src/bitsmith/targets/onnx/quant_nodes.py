"""QONNX: Quant nodes, which round and saturate but stay real numbers, where a plan has encodings; and the way back from them."""

import numpy as np
import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.graph import constant
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.edits import add_constant
from bitsmith.targets.onnx.constants import bits_for_kernels
from bitsmith.targets.onnx.insert import Readers, Writer, check_computed, copy_for, names_in

DOMAIN = "qonnx.custom_op.general"


def insert_quants(network: ir.Model, plan: Plan) -> ir.Model:
    """A copy of the network with a Quant at every value that has an encoding. The network itself is not touched.

    x -> Quant -> x_dequantized, which all of x's readers read. A weight w holds the numbers that its codes stand for.
    Raises PlanError where the plan names values that the network does not have, TargetError where QONNX cannot say an encoding.
    """
    if plan.dynamic:
        raise TargetError(f"The range of '{min(plan.dynamic)}' is found at run time, which QONNX cannot say; use a static recipe.")
    model, values = copy_for(network, plan)
    writer = Writer(model.graph, moves_codes=False, stored_bits=bits_for_kernels, names=names_in(model.graph))
    for name, value in values.items():
        if name in plan.encodings:
            add_quant(writer, value, plan.encodings[name])
    if plan.encodings:
        model.graph.opset_imports[DOMAIN] = 1
    return model


def add_quant(writer: Writer, value: ir.Value, encoding: Encoding) -> None:
    """One Quant behind a value; where it is an output, the rounded one takes its name."""
    name, readers, array = value.name or "", Readers(value), constant(value)
    format, real_name = check_sayable(name, encoding), writer.fresh(f"{name}_dequantized")
    if array is None:
        check_computed(name, encoding)
    scale = encoding.scale if array is None else encoding.blocks.spread(encoding.scale, array.shape)
    if array is not None:
        value.const_value = ir.tensor(on_the_grid(name, encoding.simulate(array), scale), name=name)
    elif readers.outputs:
        value.name, real_name = writer.fresh(f"{name}_unquantized"), name
    numbers = {"scale": scale, "zero_point": np.float32(0), "bits": np.float32(format.bits)}
    operands = [add_constant(writer.graph, writer.fresh(f"{name}_{what}"), np.asarray(n, np.float32)) for what, n in numbers.items()]
    attributes = [ir.AttrInt64("signed", format.signed), ir.AttrInt64("narrow", format.restricted), ir.AttrString("rounding_mode", "ROUND")]
    real = ir.Value(name=real_name, type=value.type, shape=value.shape)
    node = ir.Node(DOMAIN, "Quant", [value, *operands], attributes, outputs=[real], name=writer.fresh(f"{real_name}_Quant"))
    writer.put(value.producer(), node)
    readers.redirect(writer.graph, real)


def on_the_grid(name: str, reals: Array, scale: Array) -> Array:
    """The numbers, which Quant must leave as they are. Raises TargetError where codes of 23 bits and more fall half-way in between."""
    if not np.array_equal(np.rint(reals / scale) * scale, reals):
        raise TargetError(f"'{name}' has codes of so many bits that float32, in which QONNX computes, moves them; use power-of-two scales.")
    return reals


def check_sayable(name: str, encoding: Encoding) -> Integer:
    """The format that Quant can say. Raises TargetError for what it cannot, by name."""
    format = encoding.format
    if not isinstance(format, Integer) or format.ties != "even":
        raise TargetError(f"'{name}' has format {format.name}: QONNX's Quant has integers that round ties to even; choose int2 to int16.")
    if encoding.zero_point.any():
        raise TargetError(
            f"'{name}' has zero point {encoding.zero_point.ravel()[0]}: QONNX adds it before it rounds, which takes ties elsewhere; "
            "use symmetric weights, and for values of both signs a width or a signed format."
        )
    return format
