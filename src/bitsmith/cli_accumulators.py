"""The command that proves how wide accumulators must be."""

from pathlib import Path
from typing import Annotated

import typer

from bitsmith.cli_options import AsJson, Images, Limit, MaybeTested
from bitsmith.cli_parts import open_samples, show

proofs = typer.Typer()


@proofs.command()
def accumulators(
    network: Annotated[Path, typer.Argument(metavar="QUANTIZED", help="A quantized .onnx file, or a folder of C.", show_default=False)],
    data: MaybeTested = None,
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """How wide the accumulators of a quantized network must be: proven, and seen on data.

    \b
    Examples:
      bitsmith accumulators net.int8.onnx
      bitsmith accumulators net.int8.onnx --data test.npz --limit 100
      bitsmith accumulators firmware/
    """
    from bitsmith import display_accumulators as display
    from bitsmith.analysis.accumulators import accumulators as look_at
    from bitsmith.analysis.compiled import planned
    from bitsmith.terminal import progress_bar

    lowered, plan = planned(network)
    samples = None if data is None else open_samples(data, lowered, image, limit)
    with progress_bar("adding up") as advance:
        found = look_at(lowered, plan, samples, progress=advance)
    show(display.show_accumulators(found), found.to_dict(), as_json)
