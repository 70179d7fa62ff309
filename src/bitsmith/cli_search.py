"""The commands that find out which layer hurts, and what a tolerance allows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitsmith.cli_options import (
    AsJson,
    Images,
    MaybePage,
    MaybeSamples,
    Network,
    RecipeName,
    Refine,
    Shard,
    Statistics,
    TargetName,
    Tested,
)
from bitsmith.cli_parts import in_shard, name_list, open_samples, show
from bitsmith.errors import DataError, RecipeError
from bitsmith.files import check_output

if TYPE_CHECKING:
    import onnx_ir as ir
    from rich.console import RenderableType

    from bitsmith.analysis.search_hunt import Goal
    from bitsmith.analysis.search_points import Search
    from bitsmith.loading.data import Data

searches = typer.Typer()

Widths = Annotated[str, typer.Option("--widths", metavar="BITS", help="Widths to try, split by commas.")]
Roles = Annotated[str, typer.Option("--roles", metavar="NAMES", help="weights, activations (a layer's result), both; split by commas.")]
Kept = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", show_default=False, help=(
    "Keep results in this .json file, layer by layer; started again, only what is missing is measured."))]
Most = Annotated[int, typer.Option("--samples", metavar="COUNT", min=1, help="At most so many samples, evenly from all.")]
Confirmed = Annotated[Path | None, typer.Option(metavar="PATH", show_default=False, help=(
    "Samples to confirm with; without them every other test sample is held out for that."))]
Tolerated = Annotated[float, typer.Option("--tolerance", metavar="SHARE", help="Of accuracy that may be lost: 0.01 is one point.")]
CostName = Annotated[str, typer.Option("--cost", metavar="NAME", help="What is to be small: bytes, bitops or energy.")]
MaxBytes = Annotated[float | None, typer.Option(metavar="COUNT", show_default=False, help="Bytes of all constants that may not be passed.")]
MaxBitops = Annotated[float | None, typer.Option(metavar="COUNT", show_default=False, help="Bit operations likewise.")]
Budget = Annotated[str, typer.Option("--budget", metavar="TIME", help="For all of it: 10m, 90s, 1h30m.")]
Quantized = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", show_default=False, help="The .onnx file to write.")]
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
    shard: Shard = None,
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
      bitsmith sensitivity net.onnx --data calibration.npz --shard 3/8
                           -o part3.json
    """
    from bitsmith import display_sensitivity as display
    from bitsmith import workflow
    from bitsmith.analysis.sensitivity import SensitivitySettings
    from bitsmith.analysis.sensitivity import sensitivity as measure
    from bitsmith.calibration.statistics_file import load_statistics
    from bitsmith.shards import parse_shard
    from bitsmith.terminal import progress_bar

    part = (1, 1) if shard is None else parse_shard(shard)
    output = None if output is None else in_shard(output, part)
    if output is not None:
        check_output(output, ".json")
    if data is not None and stats is not None:
        raise DataError("Give --data or --stats, not both: statistics are what data become.")
    settings = SensitivitySettings(read_widths(widths), name_list(roles), recipe, target, fast, samples, part)
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
    show([*display.show_sensitivity(found), *written_line(output)], found.to_dict(), as_json)


@searches.command()
def search(
    network: Network,
    data: Annotated[Path, typer.Option("--data", metavar="PATH", help="Samples to calibrate with: .npz, .npy, or a folder of images.")],
    test: Annotated[Path, typer.Option(metavar="PATH", help="Samples to measure with: one half to search, the other to confirm.")],
    confirm: Confirmed = None,
    tolerance: Tolerated = 0.01,
    cost: CostName = "bytes",
    max_bytes: MaxBytes = None,
    max_bitops: MaxBitops = None,
    widths: Widths = "16,8,6,4,3,2",
    budget: Budget = "10m",
    output: Quantized = None,
    refine: Refine = None,
    fast: Fast = False,
    samples: Most = 512,
    recipe: RecipeName = "int8",
    target: TargetName = "onnxruntime",
    page: MaybePage = None,
    image: Images = None,
    as_json: AsJson = False,
) -> None:
    """The cheapest formats, layer by layer, that a tolerance allows; accuracy is measured on samples that calibration never saw.

    \b
    Example:
      bitsmith search net.onnx --data calibration.npz --test test.npz
                      --tolerance 0.01 --budget 10m -o net.q.onnx

    Beside net.q.onnx it writes its plan, net.q.search.json (started again, the search goes on from there) and a recipe for every point
    of the front into net.q.points.
    """
    from bitsmith import display_search as display
    from bitsmith import workflow
    from bitsmith.analysis.search import search_with_progress
    from bitsmith.analysis.search_hunt import Goal
    from bitsmith.planning.budget import read_budget
    from bitsmith.planning.recipe import load_recipe
    from bitsmith.terminal import progress_bar

    for path, suffix in ((output, ".onnx"), (page, ".html")):
        if path is not None:
            check_output(path, suffix, network)
    asked = load_recipe(recipe) if refine is None else load_recipe(recipe).with_refinements(*name_list(refine))
    goal = Goal(tolerance, cost, max_bytes, max_bitops, read_widths(widths), asked, target, read_budget(budget), samples, fast)
    loaded = workflow.load(network)
    given = [None if path is None else open_samples(path, loaded, image if path.is_dir() else None) for path in (data, test, confirm)]
    kept = None if output is None else output.with_suffix(".search.json")
    found = search_with_progress(loaded, given[0], (given[1], given[2]), goal, kept, progress_bar)
    written = keep(found, (loaded, given), goal, output, page)
    data_found = {**found.to_dict(), "files": [str(path) for path in written]}
    show([*display.show_search(found), *written_line(*short_list(written))], data_found, as_json)
    if found.best is None:
        raise typer.Exit(1)


def keep(found: "Search", given: "tuple[ir.Model, list[Data | None]]", goal: "Goal", output: Path | None, page: Path | None) -> list[Path]:
    """The network and the page of what was chosen, and the recipes of the front."""
    from bitsmith import workflow
    from bitsmith.analysis.search_samples import halves
    from bitsmith.terminal import progress_bar

    written = [] if output is None else [output.with_suffix(".search.json"), *found.write_recipes(output.with_suffix(".points"))]
    network, (data, test, confirm) = given
    if found.best is None or test is None or (output is None and page is None):
        return written
    held_out = halves(test)[1] if confirm is None else confirm
    result = workflow.quantize(network, data, test=held_out, recipe=found.best.recipe, target=goal.target, progress=progress_bar)
    if page is not None:
        result.report(page, title=network.graph.name or page.stem, search=found)
    return [*([] if output is None else result.write(output)), *written, *([] if page is None else [page])]


def short_list(written: list[Path]) -> list[Path]:
    """A folder in the place of the files in it."""
    return list(dict.fromkeys(path.parent if path.suffix == ".toml" else path for path in written))


def written_line(*paths: Path | None) -> "list[RenderableType]":
    from bitsmith import display

    there = [path for path in paths if path is not None]
    return [display.wrote(there)] if there else []
