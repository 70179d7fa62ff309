"""Functions of one input: clamps, which saturation does, and curves, which tables do."""

from bitsmith.operators.operator import Flow, Operator

CLAMP = Operator(flow=Flow.OUTPUT_TO_INPUT, pointwise=True)
CURVE = Operator(flow=Flow.NONE, pointwise=True)
OPERATORS = {
    "Relu": CLAMP,
    "Clip": CLAMP,
    **dict.fromkeys(
        ("Abs", "Celu", "Cos", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mish",
         "Neg", "PRelu", "Pow", "Reciprocal", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
         "ThresholdedRelu"),
        CURVE,
    ),
}
