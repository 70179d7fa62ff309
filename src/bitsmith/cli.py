"""The command line: one command per public function, no logic. Heavy imports wait until a command runs."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bitsmith.errors import BitsmithError

if TYPE_CHECKING:
    import onnx_ir as ir
    from rich.console import RenderableType

    from bitsmith.loading.data import Data

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Shows what every bit of a neural network is worth, narrows it, and hands over exactly what it validated.",
)
plans = typer.Typer(no_args_is_help=True, help="Look at plans.")
app.add_typer(plans, name="plan")

Network = Annotated[Path, typer.Argument(help="An .onnx file.", show_default=False)]
Samples = Annotated[Path, typer.Option("--data", help="Samples: .npz, .npy, or a folder of images.", show_default=False)]
MaybeSamples = Annotated[
    Path | None, typer.Option("--data", help="Samples to calibrate with: .npz, .npy, or a folder.", show_default=False)
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="KEY=VALUE",
        show_default=False,
        help=(
            "How images become numbers: size=256, crop=224, mean=0.485,0.456,0.406, std=..., scale=1/255, layout=nchw|nhwc, "
            "colours=rgb|bgr|grey. Repeat for several."
        ),
    ),
]
RecipeName = Annotated[str, typer.Option("--recipe", help="A recipe's name or a .toml file.")]
TargetName = Annotated[str, typer.Option("--target", help="Where it will run: onnxruntime, tensorrt or onnx.")]
Everything = Annotated[bool, typer.Option("--everything", help="Quantize also what the target runs faster in float.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use the first so many samples only.", show_default=False)]


def main() -> NoReturn:
    """Run a command. A user's mistake is one message and exit status 2."""
    try:
        app()
    except BitsmithError as problem:
        from bitsmith.terminal import print_error

        print_error(str(problem))
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


def show(tables: "Iterable[RenderableType]", data: Mapping[str, Any], as_json: bool) -> None:
    """Tables for people, or one JSON object for programs."""
    from bitsmith.terminal import finite, out, print_json

    if as_json:
        print_json(finite(data))
    else:
        for one in tables:
            out.print(one)


def open_samples(path: Path, network: "ir.Model", images: list[str] | None, limit: int | None = None) -> "Data":
    """The data a command was given."""
    from bitsmith.loading.data import open_data
    from bitsmith.loading.image_options import read_preprocessing

    data = open_data(path, network, preprocessing=read_preprocessing(images or []))
    return data if limit is None else data.limit(limit)


@app.command()
def inspect(network: Network, as_json: AsJson = False) -> None:
    """Layers, shapes, parameters, MACs, weight ranges, and what each width would cost in bytes.

    Example: `bitsmith inspect net.onnx`
    """
    import bitsmith as bs
    from bitsmith import display

    found = bs.inspect(bs.load(network))
    show(display.show_inspection(found), found.to_dict(), as_json)


@app.command()
def calibrate(
    network: Network,
    data: Samples,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .stats file to write.")],
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Count every value of a network in one pass over data; the file serves every recipe.

    Example: `bitsmith calibrate net.onnx --data calibration.npz -o net.stats`
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.terminal import progress_bar

    loaded = bs.load(network)
    with progress_bar("calibrating") as advance:
        found = bs.calibrate(loaded, open_samples(data, loaded, image, limit), progress=advance)
    bs.save_statistics(found, output)
    show(display.show_statistics(found), display.statistics_data(found, output), as_json)


@app.command()
def merge(
    statistics: Annotated[list[Path], typer.Argument(help="Files that 'bitsmith calibrate' wrote.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .stats file to write.")],
    as_json: AsJson = False,
) -> None:
    """Merge statistics of the same network from several runs, exactly.

    Example: `bitsmith merge part1.stats part2.stats -o net.stats`
    """
    from functools import reduce

    import bitsmith as bs
    from bitsmith import display

    found = reduce(lambda a, b: a.merge(b), (bs.load_statistics(path) for path in statistics))
    bs.save_statistics(found, output)
    show(display.show_statistics(found), display.statistics_data(found, output), as_json)


@app.command()
def quantize(
    network: Network,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write; the plan goes beside it.")],
    data: MaybeSamples = None,
    test: Annotated[Path | None, typer.Option(help="Samples to measure with.", show_default=False)] = None,
    recipe: RecipeName = "int8",
    target: TargetName = "onnxruntime",
    stats: Annotated[Path | None, typer.Option(help="Statistics instead of data.", show_default=False)] = None,
    everything: Everything = False,
    image: Images = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate, plan, write and, with --test, measure.

    Example: `bitsmith quantize net.onnx --data calibration.npz --test test.npz -o net.int8.onnx`
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.terminal import progress_bar

    loaded, asked = bs.load(network), bs.load_recipe(recipe)
    samples = None if data is None else open_samples(data, loaded, image)
    result = bs.quantize(
        loaded,
        samples if stats is None else bs.load_statistics(stats),
        test=None if test is None else open_samples(test, loaded, image),
        recipe=asked.with_everything() if everything else asked,
        target=target,
        progress=progress_bar,
    )
    written = result.write(output)
    show(display.show_quantized(result, written, network), display.quantized_data(result, written), as_json)


@app.command()
def evaluate(
    network: Network,
    data: Samples,
    against: Annotated[Path | None, typer.Option(help="A network to compare with, usually the float one.", show_default=False)] = None,
    engine: Annotated[str, typer.Option(help="onnxruntime, simulated or program.")] = "onnxruntime",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:FUNCTION", show_default=False, help=("function(outputs by name, labels) -> number. Repeat for several.")
        ),
    ] = None,
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy, confusion matrix, and distance from another network.

    Example: `bitsmith evaluate net.int8.onnx --data test.npz --against net.onnx`
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.analysis.metrics import find_metrics
    from bitsmith.terminal import progress_bar

    samples = open_samples(data, bs.load(network), image, limit)
    with progress_bar("evaluating") as advance:
        found = bs.evaluate(network, samples, against=against, engine=engine, metrics=find_metrics(metric or []), progress=advance)
    show(display.show_evaluation(found), found.to_dict(), as_json)


@app.command()
def verify(network: Network, data: Samples, image: Images = None, limit: Limit = None, as_json: AsJson = False) -> None:
    """Do simulation, integer program and onnxruntime give the same codes? Counts those that differ, and where first.

    Example: `bitsmith verify net.int8.onnx --data test.npz`
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.terminal import progress_bar

    samples = open_samples(data, bs.load(network), image, limit)
    with progress_bar("verifying") as advance:
        found = bs.verify(network, samples, progress=advance)
    show(display.show_verification(found), found.to_dict(), as_json)


@plans.command("diff")
def diff(
    first: Annotated[Path, typer.Argument(help="A .plan.json file.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Which values two plans treat differently.

    Example: `bitsmith plan diff net.int8.plan.json net.int4.plan.json`
    """
    import bitsmith as bs
    from bitsmith import display

    found = bs.compare_plans(bs.load_plan(first), bs.load_plan(second))
    show(display.show_differences(found), {"differences": [vars(d) for d in found]}, as_json)


@plans.command("show")
def show_one(plan: Annotated[Path, typer.Argument(help="A .plan.json file.")], as_json: AsJson = False) -> None:
    """Every value of a plan: format, range and reason.

    Example: `bitsmith plan show net.int8.plan.json`
    """
    import bitsmith as bs
    from bitsmith import display

    found = bs.load_plan(plan)
    show(display.show_whole_plan(found), display.plan_data(found), as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to write the quantized network.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Quantize, measure and verify a small network on handwritten digits; both ship with the package.

    Example: `bitsmith demo`
    """
    from bitsmith import display
    from bitsmith.demo import demonstrate
    from bitsmith.terminal import progress_bar

    found = demonstrate(folder, progress_bar)
    show(display.show_demonstration(found), display.demonstration_data(found), as_json)
