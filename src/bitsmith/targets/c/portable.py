"""The portable flavour: C99 that every compiler takes. Every instruction of the integer program has a kernel here."""

from collections.abc import Mapping

from bitsmith.integer.instructions import (
    AddRescaled,
    ArgMax,
    AveragePool,
    Blend,
    Clamp,
    Concatenate,
    Convolve,
    Gather,
    Interpolate,
    LayerNormalize,
    LookUp,
    MatrixMultiply,
    MaxPool,
    Mean,
    MultiplyRescaled,
    Pick,
    Rescale,
    Softmax,
    Take,
    TopK,
)
from bitsmith.targets.c.blending import describe_blend
from bitsmith.targets.c.call import Describe
from bitsmith.targets.c.elementwise import describe_clamp, describe_look_up, describe_multiplication, describe_rescale, describe_sum
from bitsmith.targets.c.interpolation import describe_interpolation
from bitsmith.targets.c.layout import Reorder
from bitsmith.targets.c.movement import describe_concatenation, describe_gather, describe_reorder, describe_take
from bitsmith.targets.c.normalization import describe_normalization, describe_softmax
from bitsmith.targets.c.pooling import describe_average_pool, describe_max_pool, describe_mean
from bitsmith.targets.c.products import describe_convolution, describe_product
from bitsmith.targets.c.selection import describe_arg_max, describe_pick, describe_top_k

PORTABLE: Mapping[type, Describe] = {
    Convolve: describe_convolution,
    MatrixMultiply: describe_product,
    AddRescaled: describe_sum,
    MultiplyRescaled: describe_multiplication,
    Rescale: describe_rescale,
    LookUp: describe_look_up,
    Interpolate: describe_interpolation,
    Clamp: describe_clamp,
    MaxPool: describe_max_pool,
    AveragePool: describe_average_pool,
    Mean: describe_mean,
    Take: describe_take,
    Concatenate: describe_concatenation,
    Gather: describe_gather,
    ArgMax: describe_arg_max,
    TopK: describe_top_k,
    Pick: describe_pick,
    Blend: describe_blend,
    Softmax: describe_softmax,
    LayerNormalize: describe_normalization,
    Reorder: describe_reorder,
}
