"""Takes the Q/DQ out of a file and gives back the network in float with the plan that the file carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from bitsmith.errors import BitsmithError
from bitsmith.graph import attribute, constant, input_at, integers
from bitsmith.numerics import Blocks, Encoding, Format, Integer
from bitsmith.numerics.formats import Array
from bitsmith.numerics.signs import BINARY
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.edits import add_constant
from bitsmith.targets.onnx.constants import FORMATS, codes_in
from bitsmith.targets.onnx.insert import ON_CODES, SIGN
from bitsmith.targets.onnx.spell_out import spelled_out


@dataclass
class Reader:
    """What was found so far.

    codes       value that holds codes -> (the real value it stands for, its encoding)
    code_names  name of a real value -> name that its codes have in the file
    """

    graph: ir.Graph
    encodings: dict[str, Encoding] = field(default_factory=dict)
    dynamic: set[str] = field(default_factory=set)
    codes: dict[ir.Value, tuple[ir.Value, Encoding | None]] = field(default_factory=dict)
    code_names: dict[ir.Value, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Extraction:
    """The network without Q/DQ, the plan that its file carries, and under which names the file has the codes of computed values."""

    network: ir.Model
    plan: Plan
    code_names: Mapping[str, str]


def extract_quantization(model: ir.Model) -> Extraction:
    """Network and plan of a file with Q/DQ or QOperators, ours or anybody's; the model itself is not touched.

    A Q/DQ pair becomes the encoding of the value before it, a DQ behind stored codes the encoding of that constant, movements on
    codes move reals. Pairs that are not understood (computed scales, a DQ that disagrees with its Q) stay in the network.
    """
    network = spelled_out(model)
    network = network.clone() if network is model else network
    reader = Reader(network.graph)
    for node in list(network.graph):
        STEPS.get(node.op_type, move_reals)(reader, node)
    for node in reversed(list(network.graph)):
        if node.op_type in STEPS and not any(v.uses() or v.is_graph_output() for v in node.outputs):
            network.graph.remove(node, safe=True)
    for value in [v for v in network.graph.initializers.values() if not v.uses() and not v.is_graph_output()]:
        del network.graph.initializers[value.name or ""]
    plan = Plan(reader.encodings, dict.fromkeys(reader.encodings, "as the file says"), frozenset(reader.dynamic))
    return Extraction(network, plan, {real.name or "": name for real, name in reader.code_names.items() if real.name in plan.encodings})


def encoding_of(node: ir.Node, codes: ir.Value) -> Encoding | None:
    """The encoding that a Q or DQ node carries; None where its scale is computed or its type is no format's."""
    scale, zero_point = constant(input_at(node, 1)), constant(input_at(node, 2))
    format = None if codes.dtype is None else FORMATS.get(codes.dtype)
    computed = input_at(node, 2) is not None and zero_point is None
    if scale is None or format is None or computed or scale.dtype != np.float32:
        return None
    zeros = np.zeros(scale.shape, np.int32) if zero_point is None else zero_point.astype(np.int32)
    try:
        return placed(node, codes, format, scale, zeros)
    except BitsmithError:       # a scale of 0 or NaN, or one that does not fit: the runtime may take it, bitsmith does not
        return None


def placed(node: ir.Node, codes: ir.Value, format: Format, scale: Array, zeros: Array) -> Encoding | None:
    """Scales of a node laid on its tensor."""
    if scale.size == 1:
        return Encoding(format, scale.reshape(()), zeros.reshape(()))
    rank = len(codes.shape) if codes.shape is not None else None
    if rank is None:
        return None
    axis = attribute(node, "axis", 1) % rank
    if block := attribute(node, "block_size", 0):
        return in_blocks(format, scale, np.broadcast_to(zeros, scale.shape), axis, block)
    shape = tuple(-1 if a == axis else 1 for a in range(rank))
    return Encoding(format, scale.reshape(shape), zeros.reshape(shape), Blocks.channels(axis))


def in_blocks(format: Format, scale: Array, zeros: Array, axis: int, size: int) -> Encoding:
    """Blocks along one axis. ONNX has a scale for each element of every other axis; where they are all the same, they are one."""
    sizes = {axis: size}
    for other in (a for a in range(scale.ndim) if a != axis):
        if np.ptp(scale, other).any() or np.ptp(zeros, other).any():
            sizes[other] = 1
        else:
            scale, zeros = scale.take([0], other), zeros.take([0], other)
    return Encoding(format, scale, zeros, Blocks(sizes))


def read_quantize(reader: Reader, node: ir.Node) -> None:
    """Remember what the codes stand for."""
    codes, value = node.outputs[0], node.inputs[0]
    encoding = encoding_of(node, codes)
    if encoding is not None and value is not None and not codes.is_graph_output():
        reader.codes[codes] = (value, encoding)
        if encoding.format.integral:
            reader.code_names[value] = codes.name or ""


def pass_sum(reader: Reader, node: ir.Node) -> None:
    """A sum of one operand, which keeps a runtime from fusing, is that operand."""
    before, after = node.inputs[0], node.outputs[0]
    if before is None or len(node.inputs) != 1 or (after.is_graph_output() and (before.is_graph_output() or before.is_graph_input())):
        return
    if after.is_graph_output():
        if before.name in reader.encodings:
            reader.encodings[after.name or ""] = reader.encodings.pop(before.name)
        before.name, after.name = after.name, None
    after.replace_all_uses_with(before, replace_graph_outputs=True)


def read_clip(reader: Reader, node: ir.Node) -> None:
    """A Clip on codes narrows the format, or is one of real numbers where no format ends there."""
    known = reader.codes.get(node.inputs[0]) if node.inputs[0] is not None else None
    low, high = integers(input_at(node, 1)), integers(input_at(node, 2))
    value, encoding = known or (None, None)
    if value is None or encoding is None or low is None or high is None:
        return
    if encoding == SIGN and (low[0], high[0]) == (BINARY.lowest, BINARY.highest):
        reader.codes[node.outputs[0]] = (value, Encoding(BINARY, np.ones((), np.float32), np.zeros((), np.int32)))      # a DQ has the scale
        reader.code_names[value] = node.outputs[0].name or ""
        return
    format = ending_at(low[0], high[0])
    if format is not None:
        encoding = Encoding(format, encoding.scale, encoding.zero_point, encoding.blocks)
    else:
        value = clip_reals(reader, node, value, [encoding.dequantize(np.asarray(end[0])) for end in (low, high)])
    reader.codes[node.outputs[0]] = (value, encoding)
    reader.code_names[value] = node.outputs[0].name or ""


def ending_at(low: int, high: int) -> Integer | None:
    """The format with these lowest and highest codes; None where there is none."""
    bits = (high - low + 1).bit_length() - 1
    restricted = 2**bits != high - low + 1
    if restricted and low >= 0:
        return None
    format = Integer(max(2, bits + restricted), signed=low < 0, restricted=restricted)
    return format if (format.lowest, format.highest) == (low, high) else None


def clip_reals(reader: Reader, node: ir.Node, value: ir.Value, ends: list[Array]) -> ir.Value:
    """The value between the ends, under its name; what comes before needs no codes, since clamps are part of the codes behind them."""
    name = real_name(node.outputs[0])
    value.name = f"{name}_unclipped" if value.name == name else value.name
    bounds = [add_constant(reader.graph, f"{name}_end", np.asarray(end, np.float32)) for end in ends]
    real = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    reader.graph.insert_before(node, ir.Node("", "Clip", [value, *bounds], outputs=[real], name=f"{node.name}_of_reals"))
    reader.code_names.pop(value, None)
    return real


def read_dynamic(reader: Reader, node: ir.Node) -> None:
    """Remember codes whose encoding is found while the network runs."""
    if node.inputs[0] is not None:
        reader.codes[node.outputs[0]] = (node.inputs[0], None)


def read_dequantize(reader: Reader, node: ir.Node) -> None:
    """Whoever reads the dequantized value reads the real one, which has the encoding."""
    codes, real = node.inputs[0], node.outputs[0]
    if codes is None:
        return
    if constant(codes) is not None:
        read_constant(reader, node, codes)
    elif codes in reader.codes:
        encoding = reader.codes[codes][1]
        if encoding is not None and encoding.format == BINARY and (scale := constant(input_at(node, 1))) is not None:
            encoding = replace(encoding, scale=scale.reshape(encoding.scale.shape))
        if encoding is None or same_steps(encoding, node):
            put_back(reader, codes, real, encoding)


def put_back(reader: Reader, codes: ir.Value, real: ir.Value, encoding: Encoding | None) -> None:
    """Whoever reads what codes stand for reads the value that they were made of."""
    value = reader.codes[codes][0]
    reader.encodings.pop(value.name or "", None)
    if real.is_graph_output():
        value.name, real.name = real.name, None
    real.replace_all_uses_with(value, replace_graph_outputs=True)
    if encoding is None:
        reader.dynamic.add(value.name or "")
    else:
        reader.encodings[value.name or ""] = encoding


def same_steps(encoding: Encoding, dequantize: ir.Node) -> bool:
    """True where the node turns codes into the reals that the encoding does."""
    scale, zero_point = constant(input_at(dequantize, 1)), constant(input_at(dequantize, 2))
    zeros = 0 if zero_point is None else zero_point.astype(np.int32)
    same_scale = scale is not None and np.array_equal(scale.ravel(), encoding.scale.ravel())
    return same_scale and bool(np.all(zeros == encoding.zero_point.ravel()))


def read_constant(reader: Reader, node: ir.Node, codes: ir.Value) -> None:
    """Stored codes that have an encoding become the reals they stand for."""
    encoding = encoding_of(node, codes)
    if encoding is not None:
        put_reals(reader, node, codes, encoding)


def read_cast(reader: Reader, node: ir.Node) -> None:
    """Numbers of 16 bits that become float32 are codes without a scale, stored ones and those that another Cast made of float32."""
    before, after = node.inputs[0], node.outputs[0]
    if before is None:
        return
    if before in reader.codes and after.dtype == ir.DataType.FLOAT:
        put_back(reader, before, after, reader.codes[before][1])
    elif (encoding := unscaled(after)) is not None and before.dtype == ir.DataType.FLOAT and not after.is_graph_output():
        reader.codes[after] = (before, encoding)
    elif (encoding := unscaled(before)) is not None and constant(before) is not None and after.dtype == ir.DataType.FLOAT:
        put_reals(reader, node, before, encoding)


def unscaled(value: ir.Value) -> Encoding | None:
    """The encoding of numbers that are codes as they are; None for values of other types."""
    format = None if value.dtype is None else FORMATS.get(value.dtype)
    return Encoding(format, np.ones((), np.float32), np.zeros((), np.int32)) if format is not None and not format.scaled else None


def put_reals(reader: Reader, node: ir.Node, codes: ir.Value, encoding: Encoding) -> None:
    """Reals in the place of a constant's codes, under the codes' name; whoever reads the node's result reads them."""
    array = constant(codes)
    assert array is not None
    reals = encoding.dequantize(codes_in(array, encoding.format))
    name = codes.name or ""
    if codes.dtype != ir.DataType.FLOAT:
        codes.const_value, codes.type = ir.tensor(reals, name=name), ir.TensorType(ir.DataType.FLOAT)
    reader.encodings[name] = encoding
    node.outputs[0].replace_all_uses_with(codes, replace_graph_outputs=True)


def move_reals(reader: Reader, node: ir.Node) -> None:
    """A movement on codes becomes one on reals, whose result has the same encoding."""
    moved = [v for v in (node.inputs if node.op_type == "Concat" else node.inputs[:1]) if v is not None]
    if node.op_type not in ON_CODES or not moved or not all(v in reader.codes for v in moved):
        return
    encoding = reader.codes[moved[0]][1]
    for index, value in enumerate(moved):
        real, known = reader.codes[value]
        node.replace_input_with(index, real)
        if known is not None:
            reader.encodings[real.name or ""] = known
    if node.op_type == "Pad" and len(node.inputs) > 2:
        node.replace_input_with(2, None)
    for output in node.outputs:
        reader.code_names[output] = output.name or ""
        output.name, output.type = real_name(output), ir.TensorType(ir.DataType.FLOAT)
        reader.codes[output] = (output, encoding)
        if encoding is not None:
            reader.encodings[output.name or ""] = encoding


def real_name(codes: ir.Value) -> str:
    """The name that moved codes had before they were codes: their own without the suffix, or that of the DQ behind them."""
    name = codes.name or ""
    decoded = [n.outputs[0].name or "" for n in codes.consumers() if n.op_type == "DequantizeLinear"]
    return decoded[0] if decoded and not name.endswith("_quantized") else name.removesuffix("_quantized")


STEPS = {
    "QuantizeLinear": read_quantize, "DequantizeLinear": read_dequantize, "DynamicQuantizeLinear": read_dynamic, "Clip": read_clip,
    "Cast": read_cast, "Sum": pass_sum,
}
