"""What commands take: each argument and option once, with its help."""

from pathlib import Path
from typing import Annotated

import typer

Network = Annotated[Path, typer.Argument(metavar="NETWORK", help="An .onnx file.", show_default=False)]
Samples = Annotated[Path, typer.Option("--data", metavar="PATH", help="Samples: .npz, .npy, or a folder of images.", show_default=False)]
MaybeSamples = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="Samples to calibrate with: .npz, .npy, or a folder of images.", show_default=False),
]
Tested = Annotated[Path | None, typer.Option(metavar="PATH", help="Samples to measure with, likewise.", show_default=False)]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="KEY=VALUE",
        show_default=False,
        help=(
            "How images become numbers: size=256, crop=224, mean=0.485,0.456,0.406, std=..., scale=1/255, layout=nchw or nhwc, "
            "colours=rgb, bgr or grey. Repeat for several."
        ),
    ),
]
Written = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The .onnx file to write, the plan goes beside it; for C a folder.")
]
Counted = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .stats file to write.")]
Shard = Annotated[str | None, typer.Option(metavar="K/N", show_default=False, help=(
    "Do only this part of the work, for instance 3/8; 'env': the part that torchrun, srun or mpirun give this process."))]
Processes = Annotated[int | None, typer.Option(metavar="COUNT", min=1, show_default=False, help="Count in so many processes.")]
Statistics = Annotated[Path | None, typer.Option(metavar="FILE", help="Statistics instead of data.", show_default=False)]
PerChannel = Annotated[bool, typer.Option("--per-channel", metavar="", help="Look at every channel by itself, too.")]
ChannelsOf = Annotated[list[str] | None, typer.Option(metavar="NAME", show_default=False, help=(
    "Count the channels of this value only, where --per-channel would be too much. Repeat for several."))]
RecipeName = Annotated[str, typer.Option("--recipe", metavar="NAME", help="A recipe's name or a .toml file.")]
TargetName = Annotated[str, typer.Option("--target", metavar="NAME", help=(
    "Where it will run: onnxruntime (or onnxruntime:qoperator), tensorrt, onnx, qonnx or c."))]
RawInput = Annotated[str | None, typer.Option("--raw-input", metavar="TYPE", show_default=False, help=(
    "Take the sensor's own numbers: uint8 pixels or int16 samples (uint8, int8, uint16, int16). What made them real numbers goes into the "
    "network: see --normalize."))]
Normalize = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", show_default=False, help=(
    "How raw numbers become what the network eats, (raw * scale - mean) / std: scale=1/255, mean=0.485,0.456,0.406, std=... "
    "Repeat for several."))]
EndWith = Annotated[str | None, typer.Option("--end-with", metavar="END", show_default=False, help=(
    "End the network with arg-max (the class's number comes out) or softmax."))]
Requantize = Annotated[str | None, typer.Option(metavar="WAY", show_default=False, help=(
    "How accumulators are rounded: by shift, then all scales are powers of two; in C also by multiplier or float."))]
Compute = Annotated[str | None, typer.Option(metavar="WAY", show_default=False, help=(
    "How C computes: in integer, or in float, with weights as they are planned."))]
Ends = Annotated[str | None, typer.Option("--ends", metavar="FORMAT", show_default=False, help=(
    "Format for the first and last layers: a width such as 8 or 16, a name such as int8, or float."))]
Weights = Annotated[str | None, typer.Option("--weights", metavar="FORMAT", show_default=False, help=(
    "Format for all weights but those of the recipe's ends: a width such as 4, a name such as int8, int2, ternary or binary, or float32."))]
Everything = Annotated[bool, typer.Option("--everything", metavar="", help="Quantize also what the target runs faster in float.")]
Refine = Annotated[str | None, typer.Option("--refine", metavar="NAMES", show_default=False, help=(
    "Refinements instead of the recipe's, in this order, split by commas; 'none' for none."))]
Budget = Annotated[str | None, typer.Option(metavar="TIME", show_default=False, help=(
    "Time for recipe 'best' and refinement 'choose': 10m, 90s; a minute where nobody says."))]
Accumulator = Annotated[int | None, typer.Option(metavar="BITS", show_default=False, help=(
    "Round weights so that signed integers of so many bits provably hold every sum of products."))]
Page = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .html file to write.")]
MaybePage = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Also write a page that shows everything: .html.", show_default=False)
]
MaybeTested = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="Samples to measure with: .npz, .npy, or a folder of images.", show_default=False),
]
QuantizedFile = Annotated[Path, typer.Argument(metavar="QUANTIZED", help="What became of it: an .onnx file.", show_default=False)]
Against = Annotated[Path | None, typer.Option(metavar="NETWORK", help="One to compare with, usually the float one.", show_default=False)]
EngineName = Annotated[str, typer.Option(metavar="NAME", help="onnxruntime, simulated, program, program-fixed-point or program-shift.")]
RunsOn = Annotated[str, typer.Option("--on", metavar="MACHINE", help="Where C runs: host, or cortex-m7, emulated by QEMU.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE:FUNCTION", show_default=False, help="function(outputs by name, labels) -> number. Repeat for several."),
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="One JSON object on standard output, nothing else.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="COUNT", min=1, help="Use only the first so many samples.", show_default=False)
]
Tolerance = Annotated[
    float | None,
    typer.Option(metavar="SHARE", show_default=False, help="Instead of --bits: the shortest word whose rms error is within this share."),
]
LeastError = Annotated[bool, typer.Option("--least-error", metavar="", help="Saturate a few numbers where that loses less in all.")]
ValueName = Annotated[
    str | None, typer.Option("--value", metavar="NAME", help="Compare the fraction lengths of this one tensor.", show_default=False)
]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A .plan.json file.", show_default=False)]
OtherPlan = Annotated[Path, typer.Argument(metavar="OTHER", help="Another one.", show_default=False)]
CountedFiles = Annotated[list[Path], typer.Argument(metavar="FILES", show_default=False, help=(
    "Files that 'bitsmith calibrate' wrote, or 'bitsmith sensitivity'."))]
