"""Recipes by name. Each is a few rules; begin your own from one of them."""

from bitsmith.planning.recipe import DYNAMIC, FLOAT, Recipe, Rule

__all__ = ["dynamic_int8", "int4", "int8", "int16", "per_tensor_int8", "weights_int4", "weights_int8"]


def int8() -> Recipe:
    """8-bit weights per channel, 8-bit activations: the usual choice."""
    return Recipe("int8")


def per_tensor_int8() -> Recipe:
    """As int8 with one scale for each weight tensor."""
    return Recipe("per_tensor_int8", (Rule(granularity="tensor"),))


def int16() -> Recipe:
    """8-bit weights, 16-bit activations."""
    return Recipe("int16", (Rule(activations=16),))


def int4() -> Recipe:
    """4-bit weights, 8-bit activations, first and last layers at 8 bits."""
    return Recipe("int4", (Rule(weights=4),), ends=8)


def weights_int8() -> Recipe:
    """Only weights are narrowed; arithmetic stays float."""
    return Recipe("weights_int8", (Rule(activations=FLOAT),))


def weights_int4() -> Recipe:
    """Only weights are narrowed, to 4 bits in groups of 32."""
    return Recipe("weights_int4", (Rule(weights=4, activations=FLOAT, granularity="group:32"),))


def dynamic_int8() -> Recipe:
    """8-bit weights; the ranges of activations are found while the network runs."""
    return Recipe("dynamic_int8", (Rule(activations=DYNAMIC),))
