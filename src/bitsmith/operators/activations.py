"""Functions of one input: clamps, which saturation does, and curves, which tables do."""

import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.operators.operator import Flow, Operator


def clamp_obstacle(node: ir.Node) -> str:
    """Codes can be bounded where the bounds are known."""
    computed = [v for v in node.inputs[1:] if v is not None and constant(v) is None]
    return f"its bound '{computed[0].name}' is computed while the network runs" if computed else ""


CLAMP = Operator(flow=Flow.OUTPUT_TO_INPUT, pointwise=True, obstacle=clamp_obstacle)
CURVE = Operator(flow=Flow.NONE, pointwise=True)
OPERATORS = {
    "Relu": CLAMP,
    "Clip": CLAMP,
    **dict.fromkeys(
        ("Abs", "Cast", "Celu", "Cos", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min",
         "Mish", "Neg", "PRelu", "Pow", "Reciprocal", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
         "ThresholdedRelu"),
        CURVE,
    ),
}
