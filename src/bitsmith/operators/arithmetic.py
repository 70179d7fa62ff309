"""Elementwise arithmetic of two or more values."""

from collections.abc import Sequence

from bitsmith.integer.instructions import AddRescaled, Instruction, MultiplyRescaled
from bitsmith.integer.requantization import product_multiplier
from bitsmith.operators.operator import Operator
from bitsmith.operators.site import Site


def lower_sum(site: Site, *, last_sign: int = 1) -> Sequence[Instruction]:
    """One AddRescaled over all operands."""
    count = len(site.node.inputs)
    signs = [1] * (count - 1) + [last_sign]
    operands = [site.encoding(i) for i in range(count)]
    total = site.arithmetic.total.of(operands, signs, site.target.scale, site.codes_out)
    add = AddRescaled(tuple(site.input(i) for i in range(count)), site.output, tuple(site.source(i) for i in range(count)), total)
    return [*site.constants(range(count)), add]


def lower_difference(site: Site) -> Sequence[Instruction]:
    """A sum whose second operand is subtracted."""
    return lower_sum(site, last_sign=-1)


def lower_product(site: Site) -> Sequence[Instruction]:
    """One MultiplyRescaled."""
    multiplier = product_multiplier(site.encoding(0).scale, site.encoding(1).scale, site.target.scale)
    multiply = MultiplyRescaled(
        (site.input(0), site.input(1)), site.output, (site.source(0), site.source(1)), site.arithmetic.product(multiplier, site.codes_out)
    )
    return [*site.constants((0, 1)), multiply]


OPERATORS = {
    "Add": Operator(pointwise=True, lower=lower_sum),
    "Sub": Operator(pointwise=True, lower=lower_difference),
    "Mul": Operator(pointwise=True, lower=lower_product),
    "Sum": Operator(pointwise=True, lower=lower_sum),
}
