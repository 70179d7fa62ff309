"""Elementwise arithmetic of two or more values."""

from collections.abc import Sequence
from itertools import zip_longest

from bitsmith.integer.bounds import multiplied
from bitsmith.integer.instructions import AddRescaled, Instruction, MultiplyRescaled
from bitsmith.integer.requantization import product_multiplier
from bitsmith.operators.operator import Operator
from bitsmith.operators.site import Site


def lower_sum(site: Site, *, last_sign: int = 1) -> Sequence[Instruction]:
    """One AddRescaled over all operands, in the order in which onnxruntime adds them."""
    order = list(range(len(site.node.inputs)))
    signs = [*[1] * (len(order) - 1), last_sign]
    if len(order) == 2 and is_repeated(site.dims(0), site.dims(1)):
        order.reverse()
    total = site.arithmetic.total.of([site.encoding(i) for i in order], [signs[i] for i in order], site.target.scale, site.codes_out)
    add = AddRescaled(tuple(site.input(i) for i in order), site.output, tuple(site.source(i) for i in order), total)
    return [*site.constants(order), add]


def is_repeated(first: Sequence[int | None], second: Sequence[int | None]) -> bool:
    """True where the first operand is one number along the last axis on which either is more: onnxruntime then puts it second."""
    for one, other in zip_longest(reversed(first), reversed(second), fillvalue=1):
        if one != 1 or other != 1:
            return one == 1
    return False


def lower_difference(site: Site) -> Sequence[Instruction]:
    """A sum whose second operand is subtracted."""
    return lower_sum(site, last_sign=-1)


def lower_product(site: Site) -> Sequence[Instruction]:
    """One MultiplyRescaled."""
    multiplier = product_multiplier(site.encoding(0).scale, site.encoding(1).scale, site.target.scale)
    bits = multiplied(1, site.source(0).steps, site.source(1).steps).width
    way = site.arithmetic.product(multiplier, site.codes_out, bits)
    names, sources = (site.input(0), site.input(1)), (site.source(0), site.source(1))
    return [*site.constants((0, 1)), MultiplyRescaled(names, site.output, sources, way)]


OPERATORS = {
    "Add": Operator(pointwise=True, lower=lower_sum),
    "Sub": Operator(pointwise=True, lower=lower_difference),
    "Mul": Operator(pointwise=True, lower=lower_product),
    "Sum": Operator(pointwise=True, lower=lower_sum),
}
