"""The command that opens the local web page."""

from pathlib import Path
from typing import Annotated

import typer

from bitsmith.cli_options import Images, Network, Samples, Tested
from bitsmith.cli_parts import open_samples
from bitsmith.errors import BitsmithError

apps = typer.Typer()

WorkingFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where statistics and attempts are kept; NETWORK.bitsmith beside it.", show_default=False),
]
Port = Annotated[int, typer.Option(metavar="NUMBER", min=0, max=65535, help="Port on this machine; 0 for any that is free.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", metavar="", help="Print the address only.")]


@apps.command("app")
def open_app(
    network: Network,
    data: Samples,
    test: Tested = None,
    folder: WorkingFolder = None,
    port: Port = 0,
    no_browser: NoBrowser = False,
    image: Images = None,
) -> None:
    """Calibrate, choose formats layer by layer, validate, compare and export, in a page of your browser.

    \b
    Example:
      bitsmith app net.onnx --data calibration.npz --test test.npz
    """
    try:
        from bitsmith.app.server import default_folder, open_socket, serve
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] not in ("starlette", "uvicorn", "anyio", "h11"):
            raise
        raise BitsmithError(f"The app needs '{problem.name}'; install it with: pip install 'bitsmith[app]'") from problem
    from bitsmith import workflow
    from bitsmith.analysis.fingerprint import fingerprint
    from bitsmith.app.folder import Folder, digest_of
    from bitsmith.app.studio import Given, Studio
    from bitsmith.app.studio import Samples as Named

    listening = open_socket(port)
    loaded = workflow.load(network)
    several = test is not None and data.is_dir() != test.is_dir()  # then --image is for the one that is a folder

    def named(path: Path) -> Named:
        preprocessing = image if path.is_dir() or not several else None
        return Named(path.name, digest_of(path, preprocessing), open_samples(path, loaded, preprocessing))

    given = Given(network, loaded, named(data), None if test is None else named(test))
    studio = Studio(given, Folder(folder or default_folder(network), fingerprint(loaded)))
    serve(studio, listening, browser=not no_browser, say=lambda address: typer.echo(f"{address}\nCtrl-C ends it."))
