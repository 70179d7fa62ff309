"""Elementwise arithmetic of two or more values."""

from bitsmith.operators.operator import Operator

OPERATORS = {
    "Add": Operator(pointwise=True),
    "Sub": Operator(pointwise=True),
    "Mul": Operator(pointwise=True),
    "Sum": Operator(pointwise=True),
}
