"""Puts QuantizeLinear and DequantizeLinear into a copy of a network, where a plan has encodings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bitsmith.errors import PlanError, TargetError
from bitsmith.graph import activations, attribute, constant, input_at
from bitsmith.numerics import Encoding, Integer, Minifloat, Signs
from bitsmith.numerics.encoding import SMALLEST_SCALE
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.edits import discard
from bitsmith.targets.onnx.averages import write_averages
from bitsmith.targets.onnx.constants import FLOATS, bits_for_kernels, container, stored, stored_blocks

# Movements whose kernels take 8-bit codes.
ON_CODES = {"Pad", "Slice", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Split", "Gather", "MaxPool", "Concat"}
IR_VERSION = 10
TWO_BITS = (13, 25)             # version of files and of operators that have codes of two bits
# What QuantizeLinear makes signs with, before they are clipped to -1 and 1: 0 becomes 1, and all else leaves the range.
SIGN = Encoding(Integer(8), np.asarray(SMALLEST_SCALE, np.float32), np.asarray(1, np.int32))


@dataclass
class Writer:
    """The graph that is being changed, the names it has, and by name of a value: its codes, with their scale and zero point."""

    graph: ir.Graph
    moves_codes: bool
    stored_bits: Callable[[Encoding], int]
    kernels: "Kernels | None" = None
    names: set[str] = field(default_factory=set)
    coded: dict[str, tuple[ir.Value, list[ir.Value]]] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """The name, with underscores behind it where the network has it already."""
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def add_constant(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape.numpy()), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def add_scales(
        self, name: str, encoding: Encoding, dtype: ir.DataType, shape: tuple[int, ...] = ()
    ) -> tuple[list[ir.Value], dict[str, int]]:
        """Scale and zero point as initializers, and the attributes that say how they lie on the tensor."""
        scale, zero_point, attributes = stored_blocks(encoding, shape)
        values = [self.add_constant(self.fresh(f"{name}_scale"), ir.tensor(np.asarray(scale, order="C")))]
        if dtype != ir.DataType.INT32 and not dtype.is_floating_point():        # biases and floats have none: their zero point is 0
            values.append(self.add_constant(self.fresh(f"{name}_zero_point"), stored(zero_point, dtype)))
        return values, attributes

    def add_node(self, after: ir.Node | None, op_type: str, inputs: list[ir.Value], outputs: list[ir.Value],
                 attributes: dict[str, int] | None = None) -> None:
        """A node behind `after`, or at the beginning."""
        attrs = [ir.AttrInt64(k, v) for k, v in (attributes or {}).items()]
        self.put(after, ir.Node("", op_type, inputs, attrs, outputs=outputs, name=self.fresh(f"{outputs[0].name}_{op_type}")))

    def put(self, after: ir.Node | None, node: ir.Node) -> None:
        """The node behind `after`, or at the beginning."""
        if after is not None:
            self.graph.insert_after(after, node)
        elif len(self.graph):
            self.graph.insert_before(self.graph[0], node)
        else:
            self.graph.append(node)


class Kernels(Protocol):
    """Integer operators that compute codes, so that no Q is needed."""

    def make_codes(self, writer: Writer, value: ir.Value, scales: list[ir.Value]) -> ir.Value | None:
        """The codes of a value; None where it needs a Q."""
        ...

    def end_in_real(self, writer: Writer, values: Mapping[str, ir.Value]) -> None:
        """Put those in that read codes and compute real numbers."""
        ...


def insert_quantization(
    network: ir.Model, plan: Plan, *, moves_codes: bool, stored_bits: Callable[[Encoding], int] = bits_for_kernels,
    kernels: Kernels | None = None
) -> ir.Model:
    """A copy of the network with Q/DQ at every value that has an encoding. The network itself is not touched.

    x -> Q -> x_quantized -> DQ -> x_dequantized, which all of x's readers read; the codes of a weight w keep the name w,
    in `stored_bits` each.
    Raises PlanError where the plan names values that the network does not have, TargetError where ONNX cannot store an encoding.
    """
    model, values = copy_for(network, plan)
    writer = Writer(model.graph, moves_codes, stored_bits, kernels, names_in(model.graph))
    for name, value in sorted(values.items(), key=lambda item: constant(item[1]) is None):      # constants first
        if name in plan.dynamic:
            quantize_dynamically(writer, value)
        elif name in plan.encodings and constant(value) is not None:
            quantize_constant(writer, value, plan.encodings[name])
        elif name in plan.encodings:
            quantize_value(writer, value, plan.encodings[name])
    if kernels is not None:
        kernels.end_in_real(writer, values)
        RemoveUnusedNodesPass()(model)
    drop_unread(model.graph)
    if any(v.dtype in (ir.DataType.INT2, ir.DataType.UINT2) for v in model.graph.initializers.values()):
        model.ir_version, model.graph.opset_imports[""] = (max(pair) for pair in zip(
            TWO_BITS, (model.ir_version, model.graph.opset_imports.get("", 0)), strict=True))
    write_averages(model.graph, writer.fresh)
    return model


def copy_for(network: ir.Model, plan: Plan) -> tuple[ir.Model, dict[str, ir.Value]]:
    """A copy of the network, and its values by name, computed ones first. Raises PlanError where the plan names others."""
    model = network.clone()
    model.ir_version = max(model.ir_version, IR_VERSION)
    values = {v.name or "": v for v in activations(model.graph)} | dict(model.graph.initializers)
    missing = (plan.encodings.keys() | plan.dynamic) - values.keys()
    if missing:
        raise PlanError(f"The plan has '{min(missing)}' and the network does not; make the plan for this network.")
    return model, values


def names_in(graph: ir.Graph) -> set[str]:
    """Of values and nodes."""
    return {v.name or "" for v in activations(graph)} | set(graph.initializers) | {n.name or "" for n in graph}


def drop_unread(graph: ir.Graph) -> None:
    """Movements on codes leave DequantizeLinear nodes that nobody reads any more; runtimes would run them."""
    for node in reversed(list(graph)):
        if node.op_type == "DequantizeLinear" and not node.outputs[0].is_graph_output() and not node.outputs[0].uses():
            discard(node)


@dataclass
class Readers:
    """Who reads a value now, so that they can read another one later."""

    value: ir.Value

    def __post_init__(self) -> None:
        self.uses = list(self.value.uses())
        graph = self.value.graph
        self.outputs = [i for i, o in enumerate(graph.outputs) if o is self.value] if isinstance(graph, ir.Graph) else []

    def redirect(self, graph: ir.Graph, replacement: ir.Value) -> None:
        for node, index in self.uses:
            node.replace_input_with(index, replacement)
        for index in self.outputs:
            graph.outputs[index] = replacement


def quantize_value(writer: Writer, value: ir.Value, encoding: Encoding) -> None:
    """Q and DQ behind a computed value, or DQ alone where codes were only moved."""
    check_computed(value.name or "", encoding)
    name, node, readers = value.name or "", value.producer(), Readers(value)
    dtype = container(encoding, 8 * encoding.format.storage.itemsize)
    scales = scales_of(writer, name, encoding, dtype)
    made = writer.kernels and writer.kernels.make_codes(writer, value, scales)
    codes_name, real_name = writer.fresh(f"{name}_quantized"), writer.fresh(f"{name}_dequantized")
    if made:
        codes, node, value.name, real_name = made, made.producer(), writer.fresh(f"{name}_unquantized"), name
    elif node is not None and writer.moves_codes and put_on_codes(writer, node, encoding):
        codes, value.name, real_name = value, codes_name, name
        codes.type = ir.TensorType(dtype)
    else:
        if readers.outputs:
            value.name, real_name = writer.fresh(f"{name}_unquantized"), name
        if needs_distance(encoding):
            value = kept_apart(writer, value, writer.fresh(f"{name}_before"))
        codes = ir.Value(name=codes_name, type=ir.TensorType(dtype), shape=value.shape)
        node = quantize(writer, value, codes, encoding, scales)
        codes = node.outputs[0]
    writer.coded[name] = codes, scales
    real = ir.Value(name=real_name, type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    if encoding.format.scaled:
        writer.add_node(node, "DequantizeLinear", [codes, *scales], [real])
    else:
        writer.add_node(node, "Cast", [codes], [real], {"to": ir.DataType.FLOAT})
    if needs_distance(encoding):
        real.name = writer.fresh(f"{real_name}_apart")
        real = kept_apart(writer, real, real_name)
    readers.redirect(writer.graph, real)


def needs_distance(encoding: Encoding) -> bool:
    """True for floating point with a scale: onnxruntime 1.31.1 takes its Q and DQ for those of integers.

    Kernels of codes read them, movements are put on codes, and a Relu before them is left out, unless sums stand before and behind them.
    """
    return isinstance(encoding.format, Minifloat) and encoding.format.scaled


def kept_apart(writer: Writer, real: ir.Value, name: str) -> ir.Value:
    """A sum of one operand behind a value: it changes nothing."""
    same = ir.Value(name=name, type=real.type, shape=real.shape)
    writer.add_node(real.producer(), "Sum", [real], [same])
    return same


def scales_of(writer: Writer, name: str, encoding: Encoding, dtype: ir.DataType) -> list[ir.Value]:
    """Scale and zero point for a QuantizeLinear, which takes the type of its codes from the latter; nothing for codes without a scale."""
    if not encoding.format.scaled:
        return []
    scales, _ = writer.add_scales(name, encoding, dtype)
    if len(scales) < 2:
        scales.append(writer.add_constant(writer.fresh(f"{name}_zero_point"), stored(encoding.zero_point.astype(np.uint8), dtype)))
    return scales


def check_computed(name: str, encoding: Encoding) -> None:
    """What is computed has one scale, and codes that are whole numbers."""
    if not isinstance(encoding.format, Integer | Signs | Minifloat):
        raise TargetError(f"'{name}' is computed and has format {encoding.format.name} in the plan; only constants may have it.")
    if encoding.scale.size != 1:
        raise TargetError(f"'{name}' is computed and has {encoding.scale.size} scales in the plan; only constants may have several.")


def quantize(writer: Writer, value: ir.Value, codes: ir.Value, encoding: Encoding, scales: list[ir.Value]) -> ir.Node:
    """QuantizeLinear, and a Clip where the format is narrower than its container. Returns the last node."""
    format, node = encoding.format, value.producer()
    if isinstance(format, Minifloat):
        attributes: dict[str, int] = {} if format.scaled else {"to": FLOATS[format.name]}
        writer.add_node(node, "QuantizeLinear" if format.scaled else "Cast", [value, *scales], [codes], attributes)
        made = codes.producer()
        assert made is not None
        return made
    limits = np.iinfo(format.storage)
    if isinstance(format, Signs) and not format.has_zero:
        scales, _ = writer.add_scales(f"{codes.name}_sign", SIGN, ir.DataType.INT8)
    narrow = (format.lowest, format.highest) != (limits.min, limits.max)
    if narrow and format.bits > 8:       # no runtime clips 16-bit codes; the ends of the range, as reals, do the same
        value = clip(writer, node, value, [encoding.lowest, encoding.highest], f"{codes.name}_clipped")
        node = value.producer()
    inner = ir.Value(name=writer.fresh(f"{codes.name}_wide"), type=codes.type, shape=codes.shape) if narrow and format.bits <= 8 else codes
    writer.add_node(node, "QuantizeLinear", [value, *scales], [inner])
    if inner is not codes:
        ends = [np.asarray(end, format.storage) for end in (format.lowest, format.highest)]
        codes = clip(writer, inner.producer(), inner, ends, codes.name or "")
    made = codes.producer()
    assert made is not None
    return made


def clip(writer: Writer, after: ir.Node | None, value: ir.Value, ends: list[Array], name: str) -> ir.Value:
    """Clip(value, low, high) as a new value of the given name."""
    named = zip(("low", "high"), ends, strict=True)
    bounds = [writer.add_constant(writer.fresh(f"{name}_{end}"), ir.tensor(array)) for end, array in named]
    out = ir.Value(name=name, type=value.type, shape=value.shape)
    writer.add_node(after, "Clip", [value, *bounds], [out])
    return out


def put_on_codes(writer: Writer, node: ir.Node, encoding: Encoding) -> bool:
    """Let a movement read codes instead of reals, where all it moves has codes of this encoding already."""
    if node.op_type not in ON_CODES or node.domain or encoding.format.bits > 8 or len(node.outputs) > 1:
        return False
    moved = list(node.inputs) if node.op_type == "Concat" else list(node.inputs[:1])
    sources = [None if v is None else v.producer() for v in moved]
    if not all(s is not None and s.op_type == "DequantizeLinear" and carries(s, encoding) for s in sources):
        return False
    for index, source in enumerate(sources):
        assert source is not None
        node.replace_input_with(index, source.inputs[0])
    if node.op_type == "Pad" and attribute(node, "mode", "constant") == "constant":
        filler = writer.add_constant(writer.fresh(f"{node.name}_filler"), ir.tensor(encoding.zero_point.astype(encoding.format.storage)))
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, filler)
    return True


def carries(dequantize: ir.Node, encoding: Encoding) -> bool:
    """True where the node decodes computed 8-bit codes with just this encoding."""
    scale, zero_point = constant(input_at(dequantize, 1)), constant(input_at(dequantize, 2))
    codes = dequantize.inputs[0]
    return (
        scale is not None and zero_point is not None and codes is not None and constant(codes) is None
        and codes.dtype == ir.DataType.from_numpy(encoding.format.storage)
        and np.array_equal(scale, encoding.scale) and np.array_equal(zero_point, encoding.zero_point)
    )


def quantize_constant(writer: Writer, value: ir.Value, encoding: Encoding) -> None:
    """Codes take the place of a constant, under its name, and DQ stands behind them."""
    array, name, readers = constant(value), value.name or "", Readers(value)
    assert array is not None
    dtype = container(encoding, writer.stored_bits(encoding))
    value.const_value = stored(encoding.quantize(array), dtype, name)
    value.type = ir.TensorType(dtype)
    real = ir.Value(name=writer.fresh(f"{name}_dequantized"), type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    if encoding.format.scaled:
        scales, attributes = writer.add_scales(name, encoding, dtype, array.shape)
        writer.coded[name] = value, scales
        writer.add_node(None, "DequantizeLinear", [value, *scales], [real], attributes)
    else:
        writer.add_node(None, "Cast", [value], [real], {"to": ir.DataType.FLOAT})
    readers.redirect(writer.graph, real)


def quantize_dynamically(writer: Writer, value: ir.Value) -> None:
    """DynamicQuantizeLinear and DQ behind a value."""
    name, readers = value.name or "", Readers(value)
    types = {"quantized": ir.DataType.UINT8, "scale": ir.DataType.FLOAT, "zero_point": ir.DataType.UINT8}
    found = [ir.Value(name=writer.fresh(f"{name}_{part}"), type=ir.TensorType(dtype)) for part, dtype in types.items()]
    writer.add_node(value.producer(), "DynamicQuantizeLinear", [value], found)
    real = ir.Value(name=writer.fresh(f"{name}_dequantized"), type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    writer.add_node(found[0].producer(), "DequantizeLinear", found, [real])
    readers.redirect(writer.graph, real)
