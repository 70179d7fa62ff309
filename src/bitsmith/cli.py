"""The command line: one command per public function, no logic. Heavy imports wait until a command runs."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bitsmith.cli_accumulators import proofs
from bitsmith.cli_app import apps
from bitsmith.cli_calibrate import counting
from bitsmith.cli_compare_c import c_comparisons
from bitsmith.cli_estimators import comparisons
from bitsmith.cli_fixed_point import fixed_points
from bitsmith.cli_options import (
    Accumulator,
    Against,
    AsJson,
    Budget,
    Compute,
    Ends,
    EndWith,
    EngineName,
    Everything,
    Images,
    Limit,
    MaybePage,
    MaybeSamples,
    Metrics,
    Network,
    Normalize,
    OtherPlan,
    PlanFile,
    RawInput,
    RecipeName,
    Refine,
    Requantize,
    RunsOn,
    Samples,
    Statistics,
    TargetName,
    Tested,
    Weights,
    Written,
)
from bitsmith.cli_parts import adjusted, check_written, chosen_target, network_in, open_both, open_samples, show, whole_application
from bitsmith.cli_report import reports
from bitsmith.cli_search import searches
from bitsmith.errors import BitsmithError, DataError
from bitsmith.files import check_output

INTERRUPTED = 130  # exit status; as every shell has it


class Commands(TyperGroup):
    """Commands whose failures are one message each: exit status 2 for a user's mistake, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BitsmithError as problem:
            fail(str(problem), 2)
        except MemoryError:
            fail("There is not enough memory for this network and these data.", 2)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except BrokenPipeError:  # the reader of our output has left, as `head` does
            from bitsmith.terminal import silence

            silence()
            raise typer.Exit(0) from None
        except OSError as problem:  # what the machine refuses, where no room has said it better
            fail(f"{problem.filename or 'The system'}: {problem.strerror or problem}.", 2)


def fail(message: str, status: int) -> NoReturn:
    from bitsmith.terminal import print_error

    print_error(message)
    raise typer.Exit(status)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
plans = typer.Typer(no_args_is_help=True, help="Look at plans.")
app.add_typer(plans, name="plan")

def main() -> NoReturn:
    """Run a command and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="bitsmith")
    except KeyboardInterrupt:  # before any command began
        sys.stderr.write("bitsmith: interrupted\n")
        sys.exit(INTERRUPTED)
    sys.exit(0)


def say_version(asked: bool) -> None:
    if asked:
        from bitsmith.version import VERSION

        typer.echo(f"bitsmith {VERSION}")
        raise typer.Exit


@app.callback()
def bitsmith(
    version: Annotated[bool, typer.Option("--version", metavar="", is_eager=True, callback=say_version, help="Show the version.")] = False,
) -> None:
    """Shows what every bit of a neural network is worth, narrows it, and hands over exactly what it validated.

    \b
    Try it:       bitsmith demo
    Your network: bitsmith quantize net.onnx --data calibration.npz
                           --test test.npz -o net.int8.onnx
    """


@app.command()
def inspect(network: Network, as_json: AsJson = False) -> None:
    """Layers, shapes, parameters, MACs, weight ranges, and what each width would cost in bytes.

    \b
    Example:
      bitsmith inspect net.onnx
    """
    import bitsmith as bs
    from bitsmith import display

    found = bs.inspect(bs.load(network))
    show(display.show_inspection(found), found.to_dict(), as_json)


app.add_typer(counting)


@app.command()
def quantize(
    network: Network,
    output: Written,
    data: MaybeSamples = None,
    test: Tested = None,
    recipe: RecipeName = "int8",
    target: TargetName = "onnxruntime",
    requantize: Requantize = None,
    compute: Compute = None,
    stats: Statistics = None,
    weights: Weights = None,
    ends: Ends = None,
    everything: Everything = False,
    refine: Refine = None,
    budget: Budget = None,
    raw_input: RawInput = None,
    normalize: Normalize = None,
    end_with: EndWith = None,
    accumulator: Accumulator = None,
    page: MaybePage = None,
    image: Images = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate, plan, write and, with --test, measure.

    \b
    Examples:
      bitsmith quantize net.onnx --data calibration.npz -o net.int8.onnx
      bitsmith quantize net.onnx --stats net.stats --recipe my.toml -o net.q.onnx
      bitsmith quantize net.onnx --data photos --image size=224
                        --image scale=1/255 --test test.npz -o net.int8.onnx
      bitsmith quantize net.onnx --data calibration.npz --target c -o firmware/
      bitsmith quantize net.onnx --data pixels.npz --target c -o firmware/
                        --raw-input uint8 --normalize scale=1/255 --end-with arg-max
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.terminal import progress_bar

    check_written(output, target, network, page)
    if data is not None and stats is not None:
        raise DataError("Give --data or --stats, not both: statistics are what data become.")
    target = chosen_target(target, requantize, compute)
    changes = {"requantize": requantize, "weights": weights, "ends": ends, "refine": refine, "budget": budget, "accumulator": accumulator}
    loaded = whole_application(bs.load(network), raw_input, normalize, end_with)
    asked = adjusted(bs.load_recipe(recipe), changes)
    samples, tested = open_both(data, test, loaded, image)
    result = bs.quantize(
        loaded,
        samples if stats is None else bs.load_statistics(stats),
        test=tested,
        recipe=asked.with_everything() if everything else asked,
        target=target,
        progress=progress_bar,
    )
    written = result.write(output)
    if page is not None:
        result.report(page, title=output.name)
        written.append(page)
    show(display.show_quantized(result, written, network), display.quantized_data(result, written), as_json)


app.add_typer(reports)
app.add_typer(searches)
app.add_typer(comparisons)
app.add_typer(c_comparisons)
app.add_typer(apps)


@app.command()
def evaluate(
    network: Network,
    data: Samples,
    against: Against = None,
    engine: EngineName = "onnxruntime",
    metric: Metrics = None,
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy, confusion matrix, and distance from another network.

    \b
    Example:
      bitsmith evaluate net.int8.onnx --data test.npz --against net.onnx
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.analysis.metrics import find_metrics
    from bitsmith.terminal import progress_bar

    samples = open_samples(data, bs.load(network), image, limit)
    if against is None and not metric and samples.labels is None:
        raise DataError(f"'{data}' has no labels (y), so there is nothing to measure; add them, or give --against or --metric.")
    with progress_bar("evaluating") as advance:
        found = bs.evaluate(network, samples, against=against, engine=engine, metrics=find_metrics(metric or []), progress=advance)
    show(display.show_evaluation(found), found.to_dict(), as_json)


@app.command()
def verify(
    network: Network, data: Samples, on: RunsOn = "host", image: Images = None, limit: Limit = None, as_json: AsJson = False,
) -> None:
    """Do simulation, integer program and onnxruntime give the same codes? Counts those that differ, and where first.

    \b
    Example:
      bitsmith verify net.int8.onnx --data test.npz
      bitsmith verify firmware/ --data test.npz --on cortex-m7
    """
    import bitsmith as bs
    from bitsmith import display
    from bitsmith.terminal import progress_bar

    samples = open_samples(data, bs.load(network_in(network)), image, limit)
    with progress_bar("verifying") as advance:
        found = bs.verify(network, samples, on=on, progress=advance)
    show(display.show_verification(found), found.to_dict(), as_json)


app.add_typer(proofs)
app.add_typer(fixed_points)


@plans.command("diff")
def diff(first: PlanFile, second: OtherPlan, as_json: AsJson = False) -> None:
    """Which values two plans treat differently.

    \b
    Example:
      bitsmith plan diff net.int8.plan.json net.int4.plan.json
    """
    import bitsmith as bs
    from bitsmith import display

    found = bs.compare_plans(bs.load_plan(first), bs.load_plan(second))
    show(display.show_differences(found), {"differences": [vars(d) for d in found]}, as_json)


@plans.command("show")
def show_one(plan: PlanFile, as_json: AsJson = False) -> None:
    """Every value of a plan: format, range and reason.

    \b
    Example:
      bitsmith plan show net.int8.plan.json
    """
    import bitsmith as bs
    from bitsmith import display

    found = bs.load_plan(plan)
    show(display.show_whole_plan(found), display.plan_data(found), as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write the quantized network.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Quantize, measure and verify a small network on handwritten digits; both ship with the package.

    \b
    Example:
      bitsmith demo
    """
    from bitsmith import display
    from bitsmith.demo import DEMONSTRATION, demonstrate
    from bitsmith.terminal import progress_bar

    check_output(folder / DEMONSTRATION)
    found = demonstrate(folder, progress_bar)
    show(display.show_demonstration(found), display.demonstration_data(found), as_json)
