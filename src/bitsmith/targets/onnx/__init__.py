"""ONNX files with QuantizeLinear and DequantizeLinear, or QONNX's Quant. Each target is a description of what its runtime takes."""

from bitsmith.planning.accepts import Accepts
from bitsmith.targets.onnx.float_weights import unpack_at_loading
from bitsmith.targets.onnx.forms import ENDS_IN_FLOAT, faster_in_float
from bitsmith.targets.onnx.layout import keep_channels_last
from bitsmith.targets.onnx.qoperators import KERNELS, OF_ONNX
from bitsmith.targets.onnx.quant_nodes import insert_quants
from bitsmith.targets.onnx.set_apart import keep_products_apart
from bitsmith.targets.onnx.target import OnnxTarget

SIGNED = ("int8", "int4", "int16", *(f"int{b}" for b in (2, 3, 5, 6, 7)))
UNSIGNED = ("uint8", "uint4", "uint16", *(f"uint{b}" for b in (2, 3, 5, 6, 7)))
FLOATS = ("float16", "bfloat16", "float8_e4m3", "float8_e5m2")
SIGNS = ("ternary", "binary")
POWERS = ("pow2_4", "pow2_3", "pow2_2")
LONG = tuple(f"{sign}int{bits}" for sign in ("u", "") for bits in range(9, 16))

ONNXRUNTIME = OnnxTarget(
    Accepts(
        "onnxruntime",
        activations=(*UNSIGNED, *LONG, *FLOATS),         # s8 x s8 products run at a twentieth of the speed of u8 x s8 on x86
        weights=(*SIGNED, *FLOATS, *POWERS, *SIGNS),
        ends_in_float=ENDS_IN_FLOAT,
        tensor_scales=frozenset({"Gemm"}),
        saturating_pairs=True,
        faster_in_float=faster_in_float,
    ),
    moves_codes=True,
    qoperators=KERNELS,
    refinements=(unpack_at_loading, keep_products_apart, keep_channels_last),
)
TENSORRT = OnnxTarget(
    Accepts(
        "tensorrt", activations=("int8",), weights=("int8", "int4"), zero_points=False, dynamic=False, ends_in_float=ENDS_IN_FLOAT,
    ),
)
STANDARD = OnnxTarget(        # onnxruntime 1.31 fuses codes of 2 bits into kernels that do not take them, but not where arithmetic is float
    Accepts(
        "onnx", activations=(*UNSIGNED, *SIGNED, *LONG, *SIGNS, *FLOATS), weights=(*SIGNED, *UNSIGNED, *FLOATS, *POWERS, *SIGNS),
        packs=(4,), packs_in_blocks=(2, 4), ends_in_float=ENDS_IN_FLOAT, saturating_pairs=True,
    ),
    qoperators=OF_ONNX,
)
WIDTHS = range(2, 17)
QONNX = OnnxTarget(
    Accepts(
        "qonnx", activations=tuple(f"{sign}int{bits}" for bits in WIDTHS for sign in ("u", "")),
        weights=tuple(f"int{bits}" for bits in WIDTHS), zero_points=False, dynamic=False, ends_in_float=ENDS_IN_FLOAT,
    ),
    written=insert_quants,
)
TARGETS = {t.accepts.target: t for t in (ONNXRUNTIME, TENSORRT, STANDARD, QONNX)}
