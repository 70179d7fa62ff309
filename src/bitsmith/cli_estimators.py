"""The command that compares range estimators."""

from pathlib import Path
from typing import Annotated

import typer

from bitsmith.cli_options import AsJson, Images, MaybeSamples, Network, RecipeName, Statistics, TargetName
from bitsmith.cli_parts import open_samples, show
from bitsmith.errors import DataError

comparisons = typer.Typer()
Test = Annotated[Path, typer.Option(metavar="PATH", help="Samples to measure with, best with labels.", show_default=False)]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--estimator", metavar="NAME", show_default=False, help="Only this one, such as percentile:99.9. Repeat for several."),
]
Drawn = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write a page with pictures: .html.",
                                            show_default=False)]


@comparisons.command()
def estimators(
    network: Network,
    test: Test,
    data: MaybeSamples = None,
    stats: Statistics = None,
    recipe: RecipeName = "int8",
    target: TargetName = "onnxruntime",
    estimator: Chosen = None,
    output: Drawn = None,
    image: Images = None,
    as_json: AsJson = False,
) -> None:
    """All range estimators of activations on one network, from one calibration pass: accuracy, noise, clipped share, seconds.

    \b
    Example:
      bitsmith estimators net.onnx --data calibration.npz --test test.npz -o estimators.html
    """
    from bitsmith import display_estimators as display
    from bitsmith import workflow
    from bitsmith.analysis.compare_estimators import EstimatorSettings, compare_estimators
    from bitsmith.calibration.statistics_file import load_statistics
    from bitsmith.files import check_output
    from bitsmith.report.estimators import write_estimators
    from bitsmith.terminal import progress_bar

    if output is not None:
        check_output(output, ".html")
    if (data is None) == (stats is None):
        raise DataError("Give --data or --stats, one of them: statistics are what data become.")
    loaded = workflow.load(network)
    found = compare_estimators(
        loaded,
        load_statistics(stats) if stats is not None else open_samples(data, loaded, image) if data is not None else None,
        open_samples(test, loaded, image if test.is_dir() else None),
        settings=EstimatorSettings(recipe, target, estimator),
        progress=progress_bar,
    )
    if output is not None:
        write_estimators(found, output, network.name)
    show(display.show_estimators(found), found.to_dict(), as_json)
