"""What several commands do alike: open the samples they were given, show what they found."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitsmith.errors import BitsmithError, DataError

if TYPE_CHECKING:
    import onnx_ir as ir
    from rich.console import RenderableType

    from bitsmith.loading.data import Data
    from bitsmith.planning.recipe import Recipe


def show(blocks: "Iterable[RenderableType]", data: Mapping[str, Any], as_json: bool) -> None:
    """Tables for people, or one JSON object for programs."""
    from bitsmith.terminal import print_blocks, print_json

    if as_json:
        print_json(data)
    else:
        print_blocks(blocks)


def open_samples(path: Path, network: "ir.Model", images: list[str] | None, limit: int | None = None) -> "Data":
    """The data a command was given."""
    from bitsmith.loading.data import open_data
    from bitsmith.loading.image_options import read_preprocessing

    if path.is_dir() and not images:
        raise DataError(f"'{path}' is a folder of images; say how they become numbers, for instance --image size=224 --image scale=1/255.")
    data = open_data(path, network, preprocessing=read_preprocessing(images or []))
    return data if limit is None else data.limit(limit)


def open_both(data: Path | None, test: Path | None, network: "ir.Model", images: list[str] | None) -> "tuple[Data | None, Data | None]":
    """Samples that calibrate and that test. Where only one of them is a folder of images, the options are for that one."""
    several = data is not None and test is not None and data.is_dir() != test.is_dir()
    calibrating, testing = (None if path is None else open_samples(path, network, images if path.is_dir() or not several else None)
                            for path in (data, test))
    return calibrating, testing


def whole_application(network: "ir.Model", raw_input: str | None, normalize: list[str] | None, end: str | None) -> "ir.Model":
    """The network with what comes before and behind it. Raises DataError for numbers without a raw input."""
    from bitsmith.loading.image_options import read_normalization
    from bitsmith.rewrites.application import end_with, take_raw_input

    if normalize and raw_input is None:
        raise DataError("--normalize says how raw numbers become what the network eats; say which with --raw-input, for instance uint8.")
    if raw_input is not None:
        numbers = read_normalization(normalize or [])
        network = take_raw_input(network, raw_input, scale=numbers["scale"], mean=numbers["mean"], std=numbers["std"])
    return network if end is None else end_with(network, end)


def adjusted(recipe: "Recipe", changes: Mapping[str, Any]) -> "Recipe":
    """The recipe, but for what options say otherwise; None changes nothing."""
    from bitsmith.planning.budget import read_budget
    from bitsmith.planning.recipe import Recipe, Rule

    ways: dict[str, Callable[[Recipe, Any], Recipe]] = {
        "requantize": lambda recipe, way: recipe.with_rules(Rule(power_of_two=True)) if way == "shift" else recipe,
        "weights": Recipe.with_weights,
        "ends": Recipe.with_ends,
        "refine": lambda recipe, names: recipe.with_refinements(*name_list(names)),
        "budget": lambda recipe, time: recipe.with_budget(read_budget(time)),
        "accumulator": Recipe.with_accumulator,
    }
    for name, change in changes.items():
        recipe = recipe if change is None else ways[name](recipe, change)
    return recipe


def check_written(output: Path, target: str, network: Path, page: Path | None) -> None:
    """Before long work: can the target write there, and the report? C is a folder, all else is a file."""
    from bitsmith.files import check_output

    if page is not None:
        check_output(page, ".html")

    if not is_c(target):
        check_output(output, ".onnx", network)
    elif not output.is_dir():
        check_output(output)


def is_c(target: str) -> bool:
    return target.partition(":")[0] == "c"


def chosen_target(target: str, requantize: str | None, compute: str | None = None) -> str:
    """The target that rounds and computes as asked. Raises BitsmithError for a way that it has not."""
    if compute not in (None, "integer", "float") or (compute == "float" and not is_c(target)):
        raise BitsmithError(f"Target '{target}' cannot compute in {compute!r}; C can in integer or float (--target c).")
    if compute == "float":
        if requantize is not None:
            raise BitsmithError("What computes in float rounds no accumulators: leave --requantize out.")
        return f"{target}{',' if ':' in target else ':'}compute-float"
    if requantize is None or requantize == ("multiplier" if is_c(target) else "shift"):
        return target
    if not is_c(target) or requantize not in ("shift", "float"):
        raise BitsmithError(f"Target '{target}' cannot requantize by {requantize!r}; C can by multiplier, shift or float (--target c), "
                            "all others by shift.")
    return f"{target}{',' if ':' in target else ':'}{requantize}"


def network_in(path: Path) -> Path:
    """The network itself, or the one in a folder that was written for C."""
    from bitsmith.targets.c.run import Folder

    return Folder(path).network_path if path.is_dir() else path


def name_list(text: str) -> list[str]:
    """'a, b' as its names; 'none' as no names."""
    return [] if text.strip() == "none" else [name for piece in text.split(",") if (name := piece.strip())]


def in_shard(output: Path, shard: tuple[int, int]) -> Path:
    """The output's path with the shard's number where it says {shard}, so that one command line serves all processes."""
    return Path(str(output).replace("{shard}", str(shard[0])))
