"""Accuracy of every range estimator and every refinement on the real networks: the drop against float, over several draws of the
calibration data. Writes docs/accuracy.md. What was measured once is kept in results/accuracy.json and not measured again.

    python benchmarks/accuracy.py [--networks resnet20 ...] [--draws 3] [--real ../shared/real] [--only estimators|refinements|weights]
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from real_networks import EVERY, NETWORKS, REAL, TRAINED_ON, Array, load_module, load_network

import bitsmith as bs
from bitsmith.calibration.ranges import estimator_names
from bitsmith.planning.recipe import FLOAT, Recipe, Rule
from bitsmith.planning.recipes import int4, int8, per_tensor_int8

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results" / "accuracy.json"
PAGE = HERE.parent / "docs" / "accuracy.md"
MEASURED = [name for name in NETWORKS if name not in ("ultraface_slim320", "lenet300")]
COMBINATIONS = (
    (), ("equalize",), ("equalize", "absorb_bias"), ("correct_bias",), ("correct_bias_analytically",), ("equalize", "correct_bias"),
    ("round_weights",), ("equalize", "round_weights"), ("equalize", "round_weights", "correct_bias"),
)
MORE = {"W8A8": (("search_ranges",),), "W4A8": (("learn_rounding",),), "W4A4": (("search_ranges",), ("learn_rounding",))}
OF_WEIGHTS = ((), ("equalize",), ("correct_bias",), ("round_weights",), ("equalize", "round_weights", "correct_bias"))


@dataclass(frozen=True)
class Case:
    """One cell: what is asked of a network."""

    table: str
    column: str
    row: str
    recipe: Recipe


def cases() -> Iterator[Case]:
    """Everything that is measured, plain rounding to nearest unless refinements are named."""
    w6a6, w4a4 = (Recipe(f"w{bits}a{bits}", (Rule(weights=bits, activations=bits),), ends=8) for bits in (6, 4))
    plain = {"W8A8": int8(), "W8A8 per tensor": per_tensor_int8(), "W6A6": w6a6, "W4A8": int4(), "W4A4": w4a4}
    for column in ("W8A8", "W4A4"):
        for name in estimator_names():
            yield Case("estimators", column, name, plain[column].with_rules(Rule(estimator=name)).with_refinements())
    for column, recipe in plain.items():
        for names in (*COMBINATIONS, *MORE.get(column, ())):
            yield Case("refinements", column, " + ".join(names) or "none", recipe.with_refinements(*names))
    for bits in (3, 2):
        for granularity in ("channel", "group:32"):
            for names in OF_WEIGHTS:
                rule = Rule(weights=bits, activations=FLOAT, granularity=granularity)
                recipe = Recipe(f"w{bits}", (rule,), ends=8).with_refinements(*names)
                yield Case("weights", f"W{bits}, {granularity.replace(':', ' of ')}", " + ".join(names) or "none", recipe)


def draw(name: str, seed: int, folder: Path) -> tuple[Array, Array, Array]:
    """Calibration samples, and the samples and labels of the test, which are none of those."""
    found = load_network(name, folder)
    assert found.labels is not None
    if seed == 0:
        return found.calibration, found.test, found.labels
    real = load_module(folder / "real.py")
    if name in EVERY:
        x, y = real.inputs(name, "test")
        calibrates = np.arange(len(x)) % EVERY[name] == seed
        return x[calibrates], x[~calibrates], y[~calibrates]
    many = real.inputs(name, "train", limit=8 * TRAINED_ON)[0]
    return many[np.random.default_rng(seed).choice(len(many), TRAINED_ON, replace=False)], found.test, found.labels


def measure(name: str, seed: int, wanted: list[Case], folder: Path, kept: dict[str, list[float]]) -> None:
    """Every case of one network and one draw: the drop in points, and seconds. Written down after each."""
    missing = [case for case in wanted if key_of(name, seed, case) not in kept]
    if not missing:
        return
    calibration, x, y = draw(name, seed, folder)
    network = bs.load(load_network(name, folder).path)
    before = bs.evaluate(network, (x, y)).top1 or 0.0
    for case in missing:
        start = time.perf_counter()
        result = bs.quantize(network, calibration, recipe=case.recipe)
        seconds = time.perf_counter() - start
        after = bs.evaluate(result.network, (x, y)).top1 or 0.0
        kept[key_of(name, seed, case)] = [round(100 * (before - after), 2), round(seconds, 2)]
        print(f"{name} {seed} {case.table} {case.column} {case.row}: {100 * (before - after):.2f} points, {seconds:.1f} s", flush=True)
        KEPT.write_text(json.dumps(kept, indent=0, sort_keys=True) + "\n")


def key_of(name: str, seed: int, case: Case) -> str:
    return f"{name} | {seed} | {case.table} | {case.column} | {case.row}"


def tables(wanted: list[Case], networks: list[str], draws: int, kept: dict[str, list[float]]) -> Iterator[str]:
    """A table for each column of the cases: rows as they come, a column for each network."""
    for table, column in dict.fromkeys((case.table, case.column) for case in wanted):
        yield f"\n### {column}: {table}\n"
        yield f"| {table} | " + " | ".join(networks) + " | seconds |\n|---|" + "---|" * (len(networks) + 1)
        for case in (c for c in wanted if (c.table, c.column) == (table, column)):
            found = [[kept.get(key_of(name, seed, case)) for seed in range(draws)] for name in networks]
            cells = [cell([pair[0] for pair in pairs if pair]) for pairs in found]
            seconds = [min(pair[1] for pair in pairs if pair) for pairs in found if any(pairs)]     # the quickest draw
            yield f"| {case.row} | " + " | ".join(cells) + f" | {np.mean(seconds):.1f} |" if seconds else f"| {case.row} | not measured |"


def cell(drops: list[float]) -> str:
    """Mean, least and most drop; a single one as it is."""
    if len(drops) < 2:
        return two_digits(drops[0]) if drops else ""
    return f"{two_digits(float(np.mean(drops)))} ({two_digits(min(drops))} to {two_digits(max(drops))})"


def two_digits(points: float) -> str:
    return f"{round(points, 2) + 0.0:.2f}"      # never -0.00


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=MEASURED, choices=MEASURED)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("--only", choices=["estimators", "refinements", "weights"])
    arguments = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    wanted = [case for case in cases() if arguments.only in (None, case.table)]
    for seed in range(arguments.draws):
        for name in arguments.networks:
            measure(name, seed, wanted, arguments.real, kept)
    head, marker, _ = PAGE.read_text().partition("<!-- measured -->")
    PAGE.write_text(head + marker + "\n" + "\n".join(tables(list(cases()), MEASURED, arguments.draws, kept)) + "\n")


if __name__ == "__main__":
    main()
