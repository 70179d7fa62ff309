"""Recipes by name. Each is a few rules; begin your own from one of them."""

from bitsmith.planning.recipe import DYNAMIC, FLOAT, Recipe, Rule

__all__ = [
    "best", "binary", "dynamic_int8", "float8", "int4", "int8", "int16", "per_tensor_int8", "ternary", "weights_bfloat16", "weights_float8",
    "weights_float16", "weights_int2", "weights_int3", "weights_int4", "weights_int8", "weights_pow2",
]


def int8() -> Recipe:
    """8-bit weights per channel, 8-bit activations: the usual choice."""
    return Recipe("int8", refine=("fit_to_curves", "correct_bias"))


def best() -> Recipe:
    """As int8, with the estimators and refinements that lose least on the calibration data, chosen within a minute (or `budget`)."""
    return Recipe("best", refine=("choose",))


def per_tensor_int8() -> Recipe:
    """As int8 with one scale for each weight tensor. Small channels have few codes then: they are evened out and rounded with care."""
    refine = ("equalize", "fit_to_curves", "round_weights", "correct_bias")
    return Recipe("per_tensor_int8", (Rule(granularity="tensor"),), refine=refine)


def int16() -> Recipe:
    """8-bit weights, 16-bit activations."""
    return Recipe("int16", (Rule(activations=16),))


def int4() -> Recipe:
    """4-bit weights, 8-bit activations, first and last layers at 8 bits."""
    return Recipe("int4", (Rule(weights=4),), ends=8, refine=("round_weights",))


def ternary() -> Recipe:
    """Weights -1, 0 and 1 times a scale for each channel, 8-bit activations, first and last layers at 8 bits."""
    return Recipe("ternary", (Rule(weights="ternary"),), ends=8, refine=("round_weights",))


def binary() -> Recipe:
    """Weights -1 and 1 times a scale for each channel, 8-bit activations, first and last layers at 8 bits: for networks trained so."""
    return Recipe("binary", (Rule(weights="binary"),), ends=8, refine=("round_weights",))


def float8() -> Recipe:
    """Weights and activations as floating point of 8 bits (e4m3), each with a scale; arithmetic stays float."""
    return Recipe("float8", (Rule(weights="float8_e4m3", activations="float8_e4m3"),))


def weights_int8() -> Recipe:
    """Only weights are narrowed; arithmetic stays float."""
    return Recipe("weights_int8", (Rule(activations=FLOAT),))


def weights_int4() -> Recipe:
    """Only weights are narrowed, to 4 bits in groups of 32."""
    return Recipe("weights_int4", (Rule(weights=4, activations=FLOAT, granularity="group:32"),), refine=("round_weights",))


def weights_int3() -> Recipe:
    """Only weights are narrowed, to 3 bits in groups of 32."""
    return Recipe("weights_int3", (Rule(weights=3, activations=FLOAT, granularity="group:32"),), refine=("round_weights",))


def weights_int2() -> Recipe:
    """Only weights are narrowed, to 2 bits in groups of 32."""
    return Recipe("weights_int2", (Rule(weights=2, activations=FLOAT, granularity="group:32"),), refine=("round_weights",))


def weights_float16() -> Recipe:
    """Only weights are narrowed, to half precision; half the size at hardly any loss."""
    return Recipe("weights_float16", (Rule(weights="float16", activations=FLOAT),))


def weights_bfloat16() -> Recipe:
    """Only weights are narrowed, to the upper half of float32: less precise than float16, and every magnitude fits."""
    return Recipe("weights_bfloat16", (Rule(weights="bfloat16", activations=FLOAT),))


def weights_float8() -> Recipe:
    """Only weights are narrowed, to floating point of 8 bits (e4m3) with a scale for each channel."""
    return Recipe("weights_float8", (Rule(weights="float8_e4m3", activations=FLOAT),))


def weights_pow2() -> Recipe:
    """Only weights are narrowed, to zero and powers of two in 4 bits."""
    return Recipe("weights_pow2", (Rule(weights="pow2_4", activations=FLOAT),))


def dynamic_int8() -> Recipe:
    """8-bit weights; the ranges of activations are found while the network runs."""
    return Recipe("dynamic_int8", (Rule(activations=DYNAMIC),))
