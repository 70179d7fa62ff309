"""The commands that find out which layer hurts, and what a tolerance allows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitsmith.cli_options import AsJson, Images, MaybeSamples, Network, RecipeName, Statistics, TargetName, Tested
from bitsmith.cli_parts import name_list, open_samples, show
from bitsmith.errors import DataError, RecipeError
from bitsmith.files import check_output

if TYPE_CHECKING:
    from rich.console import RenderableType

searches = typer.Typer()

Widths = Annotated[str, typer.Option("--widths", metavar="BITS", help="Widths to try, split by commas.")]
Roles = Annotated[str, typer.Option("--roles", metavar="NAMES", help="weights, activations (a layer's result), both; split by commas.")]
Kept = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", show_default=False, help=(
    "Keep results in this .json file, layer by layer; started again, only what is missing is measured."))]
Most = Annotated[int, typer.Option("--samples", metavar="COUNT", min=1, help="At most so many samples, evenly from all.")]
Fast = Annotated[bool, typer.Option("--fast", metavar="", help="Estimate the noise of all layers in one pass.")]


def read_widths(text: str) -> tuple[int, ...]:
    """'8,4,3' as numbers. Raises RecipeError for anything else."""
    names = name_list(text)
    if not names or not all(name.isdecimal() for name in names):
        raise RecipeError(f"--widths needs whole numbers of bits split by commas, for instance 8,4,3; got {text!r}.")
    return tuple(dict.fromkeys(map(int, names)))


@searches.command()
def sensitivity(
    network: Network,
    data: MaybeSamples = None,
    test: Tested = None,
    widths: Widths = "8,6,4,3,2",
    roles: Roles = "weights,activations,both",
    fast: Fast = False,
    output: Kept = None,
    samples: Most = 1024,
    recipe: RecipeName = "int8",
    target: TargetName = "onnxruntime",
    stats: Statistics = None,
    image: Images = None,
    as_json: AsJson = False,
) -> None:
    """Which layer hurts? Every layer alone at every width: noise of the outputs and, with labels, accuracy.

    \b
    Examples:
      bitsmith sensitivity net.onnx --data calibration.npz --fast
      bitsmith sensitivity net.onnx --data calibration.npz --test test.npz
                           -o net.sensitivity.json
    """
    from bitsmith import display_sensitivity as display
    from bitsmith import workflow
    from bitsmith.analysis.sensitivity import SensitivitySettings
    from bitsmith.analysis.sensitivity import sensitivity as measure
    from bitsmith.calibration.statistics_file import load_statistics
    from bitsmith.terminal import progress_bar

    if output is not None:
        check_output(output, ".json")
    if data is not None and stats is not None:
        raise DataError("Give --data or --stats, not both: statistics are what data become.")
    settings = SensitivitySettings(read_widths(widths), name_list(roles), recipe, target, fast, samples)
    loaded = workflow.load(network)
    calibration = None if data is None else open_samples(data, loaded, image if data.is_dir() or test is None else None)
    found = measure(
        loaded,
        calibration if stats is None else load_statistics(stats),
        test=None if test is None else open_samples(test, loaded, image if test.is_dir() or data is None else None),
        settings=settings,
        path=output,
        progress=progress_bar,
    )
    show([*display.show_sensitivity(found), *written(output)], found.to_dict(), as_json)


def written(*paths: Path | None) -> "list[RenderableType]":
    from bitsmith import display

    there = [path for path in paths if path is not None]
    return [display.wrote(there)] if there else []
