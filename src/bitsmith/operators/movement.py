"""Operators that move codes without changing them."""

import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at
from bitsmith.operators.operator import Flow, Operator


def pad_obstacle(node: ir.Node) -> str:
    """Zero always has a code; other constants may have none."""
    filler = constant(input_at(node, 2))
    if attribute(node, "mode", "constant") == "constant" and input_at(node, 2) is not None and (filler is None or filler.any()):
        return "it pads with a value other than 0"
    return ""


def resize_obstacle(node: ir.Node) -> str:
    """Only nearest picks values; all else computes new ones."""
    mode = attribute(node, "mode", "nearest")
    return "" if mode == "nearest" else f"it interpolates ({mode})"


MOVE = Operator(flow=Flow.INPUT_TO_OUTPUT)
OPERATORS = {
    **dict.fromkeys(
        ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Expand", "Tile", "Identity",
         "DepthToSpace", "SpaceToDepth", "Gather", "Dropout"),
        MOVE,
    ),
    "Pad": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=pad_obstacle),
    "Resize": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=resize_obstacle),
    "Concat": Operator(flow=Flow.SHARED),
}
