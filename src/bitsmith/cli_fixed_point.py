"""The command that finds fixed-point types."""

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from bitsmith.cli_options import AsJson, Images, LeastError, Limit, MaybeSamples, Network, PerChannel, Statistics, Tolerance, ValueName
from bitsmith.cli_parts import open_samples, show
from bitsmith.errors import BitsmithError, DataError

fixed_points = typer.Typer()
USUAL = 8           # bits
APART = (*(("--value", other) for other in ("--per-channel", "--tolerance", "--least-error")), ("--per-channel", "--tolerance"),
         ("--tolerance", "--bits"))


@fixed_points.command("fixed-point")
def fixed_point(
    network: Network,
    data: MaybeSamples = None,
    stats: Statistics = None,
    bits: Annotated[int | None, typer.Option(metavar="COUNT", help="Bits of a word, its sign included.", show_default="8")] = None,
    tolerance: Tolerance = None,
    least_error: LeastError = False,
    value: ValueName = None,
    per_channel: PerChannel = False,
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Which fixed-point type suits each parameter and, with data or statistics, each activation, and what it loses.

    \b
    Examples:
      bitsmith fixed-point net.onnx
      bitsmith fixed-point net.onnx --data calibration.npz --tolerance 0.01
      bitsmith fixed-point net.onnx --value conv1.weight
      bitsmith fixed-point net.onnx --data calibration.npz --per-channel
    """
    from bitsmith import display_fixed_point as display
    from bitsmith import workflow
    from bitsmith.analysis.fixed_point import analyze_fixed_point, compare_fraction_lengths
    from bitsmith.analysis.fixed_point_channels import analyze_channels
    from bitsmith.analysis.significant_bits import count_significant_bits
    from bitsmith.calibration.statistics_file import load_statistics
    from bitsmith.terminal import progress_bar

    if data is not None and stats is not None:
        raise DataError("Give --data or --stats, not both: statistics are what data become.")
    if data is None and (image or limit is not None):
        raise DataError("--image and --limit say how data are read; give --data, too.")
    check_together({"--value": value, "--per-channel": per_channel or None, "--tolerance": tolerance, "--bits": bits,
                    "--least-error": least_error or None})
    word_length = USUAL if bits is None else bits
    loaded = workflow.load(network)
    counted = None if stats is None else load_statistics(stats)
    if data is not None:
        with progress_bar("calibrating") as advance:
            counted = workflow.calibrate(loaded, open_samples(data, loaded, image, limit), progress=advance, per_channel=per_channel)
    if value is not None:
        choices = compare_fraction_lengths(loaded, value, counted, word_length=word_length)
        show(display.show_fraction_lengths(choices), choices.to_dict(), as_json)
        return
    scaling: Literal["largest", "least_error"] = "least_error" if least_error else "largest"
    if per_channel:
        types = analyze_channels(loaded, counted, word_length=word_length, scaling=scaling)
        show(display.show_channels(types), {"word_length": word_length, "tensors": [row.to_dict() for row in types]}, as_json)
        return
    found = analyze_fixed_point(loaded, counted, word_length=word_length, tolerance=tolerance, scaling=scaling)
    significant = count_significant_bits(loaded, counted)
    data_shown = {**found.to_dict(), "significant_bits": [row.to_dict() for row in significant]}
    show(display.show_fixed_point(found, significant), data_shown, as_json)


def check_together(given: Mapping[str, object]) -> None:
    """Raises BitsmithError for two options of which one would say nothing."""
    for first, second in APART:
        if given[first] is not None and given[second] is not None:
            raise BitsmithError(f"{first} and {second} ask for different things; give one of them.")
