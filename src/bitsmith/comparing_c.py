"""The classical comparison: a network in C in float32, with narrow weights and float arithmetic, and in integers throughout."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.compiled import MACHINES, codes_of, reals
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.evaluate import Evaluation, Outputs, score
from bitsmith.errors import DataError, LoweringError, TargetError
from bitsmith.integer.instructions import LookUp
from bitsmith.loading.data import Data, open_data
from bitsmith.numerics.formats import Array
from bitsmith.planning.recipe import FLOAT, Recipe, Rule
from bitsmith.real_lowering import compute_curves
from bitsmith.report.c_rows import CComparison, CVariant
from bitsmith.targets.c.cortex_m7 import Emulated, check_tools
from bitsmith.targets.c.run import Compiled, Folder
from bitsmith.workflow import Progress, Quantized, Steps, batches_of, evaluate, load, no_steps, quantize, recipe_of

ON_THE_CHIP = 3         # samples: instructions hardly depend on them
FLAVOURS = {"host": "", "cortex-m7": "cortex-m"}


@dataclass(frozen=True)
class Way:
    """One way to compute: what people read, and what it is made with."""

    name: str
    target: str
    recipe: Recipe


def compare_c(
    source: Any, data: Any, test: Any, *, on: str = "host", recipe: str | Path | Recipe = "int8", progress: Steps | None = None
) -> CComparison:
    """Write the network as C in each way, compile it, run it on the test data, and measure what it takes.

    source   what `load` takes
    data     to calibrate with
    test     to measure with, read several times, best with labels
    on       'host', or 'cortex-m7': flash, RAM and instructions on an emulated one (needs arm-none-eabi-gcc and QEMU)
    recipe   of the integers, and of the narrow weights

    Raises TargetError and LoweringError, by name, for what a way has no kernel for, DataError where data do not fit or are read once.
    """
    if on not in MACHINES:
        raise TargetError(f"C runs on {', '.join(MACHINES)}, not on {on!r}.")
    if on == "cortex-m7":
        check_tools()
    network, steps = source if isinstance(source, ir.Model) else load(source), progress or no_steps
    calibrating, tested = open_data(data, network), open_data(test, network)
    if tested.once or calibrating.once:
        raise DataError("Every way needs all the data, and these can be read only once; give a file, arrays or a function.")
    ways, left_out = ways_for(network, calibrating, recipe_of(recipe), FLAVOURS[on], steps)
    with steps("float") as advance:
        before = evaluate(network, tested, progress=advance)
    rows = []
    for way, made in ways:
        with TemporaryDirectory(prefix="bitsmith-") as temporary, steps(way.name) as advance:
            made.write(Path(temporary) / "firmware")
            rows.append(measure(way, Folder(Path(temporary) / "firmware"), on, tested, Subject(network), advance))
    return CComparison(on, before.samples, before.top1, tuple(rows), left_out)


def ways_for(network: ir.Model, data: Data, recipe: Recipe, flavour: str, steps: Steps) -> tuple[list[tuple[Way, Quantized]], str]:
    """(each way and what it is made from, why one is missing)."""
    integers = Way("integers", with_wishes(flavour), recipe)
    found = [Way("float32", with_wishes("compute-float"), recipe.with_rules(Rule(weights=FLOAT)).with_refinements()),
             Way("float, narrow weights", with_wishes("compute-float"), recipe)]
    made = [(way, quantize(network, data, recipe=way.recipe, target=way.target, progress=steps)) for way in (*found, integers)]
    program, left_out = made[-1][1].program, ""
    if any(isinstance(i, LookUp) for i in program.instructions):
        by_math = Way("integers, curves by math.h", with_wishes(flavour, "math-curves"), recipe)
        try:
            compute_curves(made[-1][1].refined, program)
            made.insert(2, (by_math, quantize(network, data, recipe=recipe, target=by_math.target, progress=steps)))
            made[-1] = (Way("integers, curves by tables", integers.target, recipe), made[-1][1])
        except LoweringError as problem:
            left_out = f"Without a row for curves by math.h: {problem}"
    return made, left_out


def with_wishes(*wishes: str) -> str:
    asked = ",".join(filter(None, wishes))
    return f"c:{asked}" if asked else "c"


def measure(way: Way, folder: Folder, on: str, tested: Data, network: Subject, advance: Progress | None) -> CVariant:
    with closing(Compiled(folder)) as compiled:
        answers = evaluate_c(compiled, tested, network, advance)
        if on == "host":
            sizes = folder.firmware.table_bytes, folder.firmware.arena.size
            return CVariant(way.name, way.target, on, *sizes, None, None, answers.top1, answers.agreement, answers.snr_db)
        with closing(Emulated(folder)) as emulated:
            batch = first_samples(tested, ON_THE_CHIP)
            codes = codes_of(folder.program, batch)
            here, there, spent = compiled.run(codes), emulated.run(codes), emulated.measured
            apart = sum(int(np.count_nonzero(here[name] != there[name])) for name in here)
            return CVariant(way.name, way.target, emulated.plain.board, spent["flash"], spent["ram"], spent["stack"], spent["instructions"],
                            answers.top1, answers.agreement, answers.snr_db, apart)


def first_samples(data: Data, count: int) -> Mapping[str, Array]:
    batch, _ = next(islice(data.labelled(count), 1))
    return batch


def evaluate_c(compiled: Compiled, tested: Data, network: Subject, advance: Progress | None) -> Evaluation:
    """The answers of the C on this machine, beside the float network's."""
    program, reference = compiled.folder.program, network.engine("onnxruntime")

    def results() -> Iterator[tuple[Outputs, Array | None, Outputs | None]]:
        for batch, labels in batches_of(tested, network.normal, advance):
            yield reals(program, compiled.run(codes_of(program, batch))), labels, reference(batch)

    return score(results(), "c", against="the float network")
