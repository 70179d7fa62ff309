"""The meaning of ONNX operators on torch tensors, with gradients. A new one is an entry in `MEANINGS`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, constant, integers

Tensor = Any            # a torch.Tensor; torch itself is not there before somebody asks for gradients
Meaning = Callable[[ir.Node, Sequence[Tensor]], Tensor]
Change = Callable[[str, Tensor], Tensor]


def run_nodes(nodes: Iterable[ir.Node], values: Mapping[str, Tensor], change: Change = lambda name, value: value) -> dict[str, Tensor]:
    """Compute nodes one after the other, as ONNX says.

    nodes    in order, each with one output
    values   by name: what the nodes read and none of them makes; constants that are not among them have their own numbers
    change   (name, value) -> what readers of the value shall read, for instance its quantized form

    Returns all values by name, as readers see them. Raises LoweringError for an operator without a meaning here.
    """
    known = dict(values)
    for node in nodes:
        operands = [None if v is None else tensor_of(v, known) for v in node.inputs]
        name = node.outputs[0].name or ""
        known[name] = change(name, meaning_of(node)(node, operands))
    return known


def without_meaning(nodes: Iterable[ir.Node]) -> list[ir.Node]:
    """The nodes that `run_nodes` cannot compute."""
    return [node for node in nodes if node.op_type not in MEANINGS or node.domain not in ("", "ai.onnx") or len(node.outputs) != 1]


def meaning_of(node: ir.Node) -> Meaning:
    if without_meaning([node]):
        raise LoweringError(f"{node.op_type} '{node.name}' has no differentiable meaning; there are {', '.join(sorted(MEANINGS))}.")
    return MEANINGS[node.op_type]


def tensor_of(value: ir.Value, known: dict[str, Tensor]) -> Tensor:
    """What is known by the value's name, or its constant's numbers."""
    import torch

    name = value.name or ""
    if name not in known:
        array = constant(value)
        if array is None:
            raise LoweringError(f"Value '{name}' is neither constant nor given nor made by the nodes.")
        known[name] = torch.from_numpy(array.copy())
    return known[name]


def convolve(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    """Conv in one, two or three dimensions; padding is written out where it is uneven."""
    import torch.nn.functional as nn

    x, weight, *bias = operands
    space = weight.ndim - 2
    strides, dilations = (list(attribute(node, name, [1] * space)) for name in ("strides", "dilations"))
    extents = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    x = nn.pad(x, flat(padding(node, list(x.shape[2:]), extents, strides)))
    run = (nn.conv1d, nn.conv2d, nn.conv3d)[space - 1]
    return run(x, weight, bias[0] if bias else None, strides, 0, dilations, int(attribute(node, "group", 1)))


def padding(node: ir.Node, sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis."""
    mode, space = attribute(node, "auto_pad", "NOTSET"), len(sizes)
    if mode in ("NOTSET", "VALID"):
        pads = attribute(node, "pads", [0] * (2 * space)) if mode == "NOTSET" else [0] * (2 * space)
        return list(zip(pads[:space], pads[space:], strict=True))
    totals = [max(0, (-(-size // s) - 1) * s + e - size) for size, e, s in zip(sizes, extents, strides, strict=True)]
    return [(t // 2, t - t // 2) if mode == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals]


def flat(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """As torch pads: the last axis first."""
    return [number for pair in reversed(pairs) for number in pair]


def gemm(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    left, right, *bias = operands
    left, right = (m.T if attribute(node, name, 0) else m for m, name in ((left, "transA"), (right, "transB")))
    product = attribute(node, "alpha", 1.0) * (left @ right)
    return product + attribute(node, "beta", 1.0) * bias[0] if bias and bias[0] is not None else product


def clip(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    x, low, high = (*operands, None, None)[:3]
    x = x if low is None else x.clamp(min=low.item())
    return x if high is None else x.clamp(max=high.item())


def pool(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    """MaxPool and AveragePool over padded windows; ceil_mode is refused."""
    import torch
    import torch.nn.functional as nn

    (x,) = operands
    kernel: list[int] = list(attribute(node, "kernel_shape", []))
    if attribute(node, "ceil_mode", 0) or any(d != 1 for d in attribute(node, "dilations", [1])):
        raise LoweringError(f"{node.op_type} '{node.name}' has ceil_mode or dilations, for which there is no differentiable meaning.")
    space, strides = len(kernel), list(attribute(node, "strides", [1] * len(kernel)))
    pads = flat(padding(node, list(x.shape[2:]), kernel, strides))
    if node.op_type == "MaxPool":
        return (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)[space - 1](nn.pad(x, pads, value=float("-inf")), kernel, strides)
    average = (nn.avg_pool1d, nn.avg_pool2d, nn.avg_pool3d)[space - 1]
    if attribute(node, "count_include_pad", 0) or not any(pads):
        return average(nn.pad(x, pads), kernel, strides)
    return average(nn.pad(x, pads), kernel, strides) / average(nn.pad(torch.ones_like(x), pads), kernel, strides)


def reduce_mean(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    axes = integers(node.inputs[1]) if len(node.inputs) > 1 else None
    return operands[0].mean(axes or list(range(operands[0].ndim)), keepdim=bool(attribute(node, "keepdims", 1)))


def reshape(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    x, shape = operands
    sizes = [x.shape[i] if size == 0 and not attribute(node, "allowzero", 0) else size for i, size in enumerate(shape.tolist())]
    return x.reshape(sizes)


def flatten(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    axis = int(attribute(node, "axis", 1)) % (operands[0].ndim + 1)
    return operands[0].reshape(operands[0].shape[:axis].numel(), -1)


def transpose(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    return operands[0].permute(list(attribute(node, "perm", list(reversed(range(operands[0].ndim))))))


def pad(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    """With constants only, axis by axis."""
    import torch.nn.functional as nn

    x, pads, filler, axes = (*operands, None, None, None)[:4]
    if attribute(node, "mode", "constant") != "constant":
        raise LoweringError(f"Pad '{node.name}' pads otherwise than with a constant, for which there is no differentiable meaning.")
    over = [a % x.ndim for a in axes.tolist()] if axes is not None else list(range(x.ndim))
    pairs, numbers = [(0, 0)] * x.ndim, pads.tolist()
    for i, axis in enumerate(over):
        pairs[axis] = (numbers[i], numbers[i + len(over)])
    return nn.pad(x, flat(pairs), value=0.0 if filler is None else filler.item())


def cut(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    """Slice; steps back are index by index."""
    import torch

    x, *rest = operands
    starts, ends, axes, steps = ([int(n) for n in t.tolist()] if t is not None else None for t in (*rest, None, None)[:4])
    for i, (start, end) in enumerate(zip(starts or [], ends or [], strict=True)):
        axis, step = (axes[i] if axes else i) % x.ndim, steps[i] if steps else 1
        taken = range(x.shape[axis])[slice(start, None if step < 0 and end < -x.shape[axis] else end, step)]
        x = x.index_select(axis, torch.tensor(list(taken), dtype=torch.long))
    return x


def squeeze(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    axes = tuple(operands[1].tolist()) if len(operands) > 1 else tuple(i for i, size in enumerate(operands[0].shape) if size == 1)
    return operands[0].squeeze(axes)


def unsqueeze(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    x, axes = operands
    rank = x.ndim + axes.numel()
    for axis in sorted(a % rank for a in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def pointwise(run: Callable[..., Tensor]) -> Meaning:
    """Operators that are one torch call on their operands."""
    return lambda node, operands: run(*operands)


def hard_sigmoid(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    return (attribute(node, "alpha", 0.2) * operands[0] + attribute(node, "beta", 0.5)).clamp(0, 1)


def concatenate(node: ir.Node, operands: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.cat(list(operands), int(attribute(node, "axis", 0)))


MEANINGS: Mapping[str, Meaning] = {
    "Conv": convolve,
    "Gemm": gemm,
    "MatMul": pointwise(lambda a, b: a @ b),
    "Add": pointwise(lambda a, b: a + b),
    "Sub": pointwise(lambda a, b: a - b),
    "Mul": pointwise(lambda a, b: a * b),
    "Div": pointwise(lambda a, b: a / b),
    "Relu": pointwise(lambda x: x.relu()),
    "Clip": clip,
    "LeakyRelu": lambda node, operands: operands[0].relu() - attribute(node, "alpha", 0.01) * (-operands[0]).relu(),
    "Sigmoid": pointwise(lambda x: x.sigmoid()),
    "Tanh": pointwise(lambda x: x.tanh()),
    "Erf": pointwise(lambda x: x.erf()),
    "Sqrt": pointwise(lambda x: x.sqrt()),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": pointwise(lambda x: x * (x / 6 + 0.5).clamp(0, 1)),
    "Softmax": lambda node, operands: operands[0].softmax(int(attribute(node, "axis", -1))),
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": pointwise(lambda x: x.mean(list(range(2, x.ndim)), keepdim=True)),
    "GlobalMaxPool": pointwise(lambda x: x.amax(list(range(2, x.ndim)), keepdim=True)),
    "ReduceMean": reduce_mean,
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concatenate,
    "Pad": pad,
    "Slice": cut,
    "Identity": pointwise(lambda x: x),
}
