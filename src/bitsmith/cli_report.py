"""The command that writes a page about a quantized file."""

from pathlib import Path
from typing import Annotated

import typer

from bitsmith.cli_options import AsJson, Images, Limit, MaybeTested, Network, Page, QuantizedFile, Statistics
from bitsmith.cli_parts import open_samples, show
from bitsmith.files import check_output

reports = typer.Typer()


@reports.command()
def report(
    network: Network,
    quantized: QuantizedFile,
    output: Page,
    data: MaybeTested = None,
    stats: Statistics = None,
    sensitivity: Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, help=(
        "Sensitivities of the layers, which 'bitsmith sensitivity -o FILE' wrote."))] = None,
    latency: Annotated[bool, typer.Option("--latency", metavar="", help="Measure how long one sample takes in both.")] = False,
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """One HTML page about a quantized file: verdict, layers, ranges, changed answers, what to do next.

    \b
    Example:
      bitsmith report net.onnx net.int8.onnx --data test.npz -o net.html
    """
    from bitsmith import display, reporting, workflow
    from bitsmith.analysis.report_rows import ReportExtras
    from bitsmith.analysis.sensitivity_file import load_sensitivity
    from bitsmith.calibration.collection import Collection
    from bitsmith.calibration.statistics_file import load_statistics
    from bitsmith.terminal import progress_bar

    check_output(output, ".html")
    reporting.write_report(
        network,
        quantized,
        output,
        data=None if data is None else open_samples(data, workflow.load(network), image, limit),
        extras=ReportExtras(Collection({}) if stats is None else load_statistics(stats), latency,
                            [] if sensitivity is None else load_sensitivity(sensitivity).rows()),
        progress=progress_bar,
    )
    show([display.wrote([output])], {"files": [str(output)]}, as_json)
