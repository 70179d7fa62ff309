"""The command that compares ways to compute in C."""

from pathlib import Path
from typing import Annotated

import typer

from bitsmith.cli_options import AsJson, EndWith, Images, Limit, Network, Normalize, RawInput, RecipeName, RunsOn, Samples
from bitsmith.cli_parts import open_samples, show, whole_application

c_comparisons = typer.Typer()
Test = Annotated[Path, typer.Option(metavar="PATH", help="Samples to measure with, best with labels.", show_default=False)]
Drawn = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write a page with pictures: .html.",
                                            show_default=False)]


@c_comparisons.command("compare-c")
def compare_c(
    network: Network,
    data: Samples,
    test: Test,
    on: RunsOn = "host",
    recipe: RecipeName = "int8",
    output: Drawn = None,
    image: Images = None,
    limit: Limit = None,
    raw_input: RawInput = None,
    normalize: Normalize = None,
    end_with: EndWith = None,
    as_json: AsJson = False,
) -> None:
    """A network in C three ways: float32, narrow weights with float arithmetic, integers; flash, RAM, instructions, accuracy.

    With tanh or another function of one value a fourth: integers with that by math.h instead of a table.
    --limit is for the test samples.

    \b
    Example:
      bitsmith compare-c net.onnx --data calibration.npz --test test.npz
                         --on cortex-m7 -o ways.html
    """
    from bitsmith import comparing_c, workflow
    from bitsmith import display_compare_c as display
    from bitsmith.files import check_output
    from bitsmith.report.compare_c import write_c_comparison
    from bitsmith.terminal import progress_bar

    if output is not None:
        check_output(output, ".html")
    loaded = whole_application(workflow.load(network), raw_input, normalize, end_with)
    found = comparing_c.compare_c(
        loaded,
        open_samples(data, loaded, image if data.is_dir() or not test.is_dir() else None),
        open_samples(test, loaded, image if test.is_dir() or not data.is_dir() else None, limit),
        on=on,
        recipe=recipe,
        progress=progress_bar,
    )
    if output is not None:
        write_c_comparison(found, output, network.name)
    show(display.show_c_comparison(found), found.to_dict(), as_json)
