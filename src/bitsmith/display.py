"""How results look in a terminal: each kind of result as blocks, one below the other."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from bitsmith.terminal import Name, confusion, percent, printable, short, size, table

if TYPE_CHECKING:
    from bitsmith.analysis.evaluate import Evaluation
    from bitsmith.analysis.inspect import Inspection
    from bitsmith.analysis.verify import Comparison, Verification
    from bitsmith.calibration.collection import Collection
    from bitsmith.demo import Demonstration
    from bitsmith.planning.plan import Difference, Plan
    from bitsmith.workflow import Quantized

MOST_CLASSES = 20
MOST_ROWS = 12
MOST_NAMES = 4
UNITS = {"flash": "bytes of flash", "ram": "of RAM", "stack": "of stack", "instructions": "instructions at most"}
WORDS = {"saturation": "saturates", "moves codes": "moves"}  # what an operator does with codes, where there is little room
Shown = list[RenderableType]


def show_inspection(found: "Inspection") -> Shown:
    """Layers, then what each width would cost."""
    fed = [[kind, name, sizes(dims)] for kind, part in (("input", found.inputs), ("output", found.outputs)) for name, dims in part.items()]
    rows = [
        [
            layer.name,
            layer.operator,
            Text(of_one_sample(layer.shape)),
            WORDS.get(layer.integer, layer.integer),
            short(layer.parameters),
            short(layer.macs),
            span(layer.low, layer.high),
        ]
        for layer in found.layers
    ]
    columns = ["layer", "operator", "output", "on codes", "params", "MACs", "weights"]
    total = f"{len(found.layers)} layers, {found.parameters:,} parameters, {found.macs:,} MACs for one sample, opset {found.opset}"
    widths = [[f"{bits} bits" for bits in found.weight_bytes], [size(count) for count in found.weight_bytes.values()]]
    return [
        table("inputs and outputs", ["", "", ""], fed, left=3),
        table("layers", columns, rows, left=4),
        Text(total),
        table("what all weights would take", widths[0], widths[1:], left=0),
    ]


def sizes(dims: Sequence[int | str] | None) -> str:
    return "?" if dims is None else f"[{', '.join(map(str, dims))}]"


def of_one_sample(dims: Sequence[int | str] | None) -> str:
    """24x8x8: without the number of samples, where that is free."""
    if dims is None:
        return "?"
    shown = dims[1:] if dims and isinstance(dims[0], str) else dims
    return "x".join(printable(str(dim)) for dim in shown) or "one"


def span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2g}..{high:.2g}"


def show_statistics(found: "Collection", written: Path) -> Shown:
    """Ranges of every value."""
    rows = [
        [name, short(s.count), s.minimum, s.maximum, s.mean_minimum, s.mean_maximum, f"{100 * s.zeros / max(1, s.count):.1f} %"]
        for name, s in found.items()
    ]
    columns = ["value", "numbers", "min", "max", "mean min", "mean max", "zeros"]
    return [table("values counted", columns, rows), wrote([written])]


def show_quantized(result: "Quantized", written: Sequence[Path], original: Path | None) -> Shown:
    """What stayed float and why, then the verdict."""
    return [*show_plan(result.plan), *show_verdict(result, original, written), wrote(written)]


def wrote(paths: Iterable[Path]) -> RenderableType:
    return Group(*(Text(f"wrote {printable(str(path))}") for path in paths))


def show_plan(plan: "Plan") -> Shown:
    """Formats used, and everything that is not as the recipe asked, by reason."""
    counts: dict[str, int] = {}
    for encoding in plan.encodings.values():
        counts[encoding.format.name] = counts.get(encoding.format.name, 0) + 1
    used = ", ".join(f"{many(n, 'value')} {name}" for name, n in sorted(counts.items())) or "everything stays float"
    names: dict[str, list[str]] = {}
    for name, reason in plan.reasons.items():
        if worth_saying(name, reason, plan):
            names.setdefault(reason, []).append(name)
    rows = [[reason, few(there)] for reason, there in names.items()]
    shown: Shown = [Text(f"plan: {used}" + (f", {many(len(plan.dynamic), 'value')} found at run time" if plan.dynamic else ""))]
    shown += [Text(f"left out: {printable(str(why))}") for why in plan.made_with.get("left_out", {}).values()]
    shown += [Text(printable(str(plan.made_with["saturates"])) + ".", style="yellow")] if "saturates" in plan.made_with else []
    shown += [table("tried", ["step", "gain", "seconds", ""], rows_tried(plan))] if "tried" in plan.made_with else []
    shown += [Text(told_of_choice(plan))] if "chosen_on" in plan.made_with else []
    return [*shown, table("worth knowing", ["what was decided", "for"], rows, left=2)] if rows else shown


def rows_tried(plan: "Plan") -> list[list[Any]]:
    """What choosing among refinements tried, and what each step gained in signal to noise of the outputs."""
    return [[one["step"], "no time" if one["gain_db"] is None else f"{one['gain_db']:+.1f} dB", f"{one['seconds']:.1f}",
             "kept" if one["kept"] else ""] for one in plan.made_with["tried"]]


def told_of_choice(plan: "Plan") -> str:
    """With what, and how long, choosing measured."""
    told = plan.made_with["chosen_on"]
    which = "held out from calibration" if told["held_out"] else "that calibrated, too: there were too few to hold any out"
    return f"gains were measured on {many(told['samples'], 'sample')} {which}; {told['seconds']:.1f} s of {told['budget']:g} s"


def many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def few(names: Sequence[str]) -> str:
    """The first names, and how many there are more."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def worth_saying(name: str, reason: str, plan: "Plan") -> bool:
    """True for layers and values that stay float, for scales that were widened, and for weights with more room than they need."""
    if "widened" in reason or "whole byte" in reason:
        return True
    return name not in plan.encodings and name not in plan.dynamic and not reason.startswith(("needs no codes", "shifted by"))


def show_verdict(result: "Quantized", original: Path | None, written: Sequence[Path]) -> Shown:
    """Float against quantized."""
    before, after = result.float_evaluation, result.evaluation
    rows: list[list[Any]] = [] if before is None or after is None else accuracy_rows(before, after)
    if any(path.suffix == ".c" for path in written):
        rows += firmware_rows(result)
    elif original is not None:
        from bitsmith.loading.read_onnx import files_of

        a, b = size_on_disk(files_of(original)), size_on_disk(written)
        rows.append(["file", size(a), size(b), times_smaller(a, b)])
    title = "float and quantized" + ("" if after is None else f" ({after.samples:,} samples, engine {after.engine})")
    return [table(title, ["", "float", "quantized", "difference"], rows)] if rows else []


def firmware_rows(result: "Quantized") -> list[list[Any]]:
    """What C takes of flash and memory."""
    found = firmware_sizes(result)
    before, after = 4 * sum(v.const_value.size for v in result.original.graph.initializers.values() if v.const_value), found["tables"]
    least = f"{found['least_arena']:,} bytes at least"
    return [["weights and tables", size(before), size(after), times_smaller(before, after)],
            ["arena", "", f"{found['arena']:,} bytes", least]]


def firmware_sizes(result: "Quantized") -> dict[str, int]:
    """Bytes of flash and memory that the C takes, its code not counted."""
    from bitsmith.targets import target_named
    from bitsmith.targets.c import CTarget

    target = target_named(result.target)
    assert isinstance(target, CTarget)
    firmware = target.translate(result.refined, result.plan)
    return {"tables": firmware.table_bytes, "arena": firmware.arena.size, "least_arena": firmware.arena.lower_bound}


def accuracy_rows(before: "Evaluation", after: "Evaluation") -> list[list[Any]]:
    """top-1 and top-5 where there are labels, and the distance of the outputs."""
    pairs = {"top-1": (before.top1, after.top1), "top-5": (before.top5, after.top5)}
    rows: list[list[Any]] = [
        [name, percent(a), percent(b), f"{100 * (b - a):+.2f} points"] for name, (a, b) in pairs.items() if a is not None and b is not None
    ]
    rows += [] if after.agreement is None else [["same answer", "", percent(after.agreement), ""]]
    rows.append(["signal to noise", "", decibels(after.snr_db), ""])
    return rows


def decibels(ratio: float | None) -> str:
    return "" if ratio is None else "no noise" if ratio == float("inf") else f"{ratio:.1f} dB"


def size_on_disk(paths: Iterable[Path]) -> int:
    """Bytes of a network with its weights beside it, without plan and page."""
    return sum(path.stat().st_size for path in paths if path.suffix not in (".json", ".html"))


def times_smaller(before: int, after: int) -> str:
    if abs(before / max(1, after) - 1) < 0.005:
        return "about the same size"
    smaller = before >= after
    ratio = before / max(1, after) if smaller else after / max(1, before)
    return f"{ratio:.2f} times {'smaller' if smaller else 'larger'}"


def show_evaluation(found: "Evaluation") -> Shown:
    """Figures, then the confusion matrix where it is small enough to look at."""
    rows: list[list[Any]] = [
        ["top-1", percent(found.top1)],
        ["top-5", percent(found.top5)],
        ["same answer", percent(found.agreement)],
        ["mean squared error", None if found.mse is None else f"{found.mse:.4g}"],
        ["signal to noise", decibels(found.snr_db)],
        *([name, f"{value:.6g}"] for name, value in (found.metrics or {}).items()),
    ]
    against = f", against {found.against}" if found.against else ""
    title = f"{found.samples:,} samples, engine {found.engine}{against}"
    shown: Shown = [table(title, ["", ""], [row for row in rows if row[1]])]
    if found.confusion is not None and len(found.confusion) <= MOST_CLASSES:
        shown.append(confusion(found.confusion.tolist()))
    return shown


def show_verification(found: "Verification") -> Shown:
    """Pairs of engines, the values where their codes part, and the verdict."""
    apart = show_apart([c for c in found.comparisons if c.differences])
    measured = [Text(", ".join(f"{number:,} {UNITS[name]}" for name, number in found.measured.items()))] if found.measured else []
    return [show_pairs(found), *apart, *measured, verdict(found)]


def show_pairs(found: "Verification") -> RenderableType:
    """One row for each pair of engines, and a line where they part first."""
    rows = [
        [Text(pair_of(c)), *((c.differing, c.largest) if c.differences else (None, None)), percent(c.agreement), f"{c.output_error:.3g}"]
        for c in found.comparisons
    ]
    columns = ["engines", "differ", "at most by", "same answer", "output error"]
    codes = max((c.codes for c in found.comparisons), default=0)
    first: dict[str, list[str]] = {}
    for c in found.comparisons:
        if c.begins_at is not None:
            first.setdefault(c.begins_at, []).append(pair_of(c))
    lines = [Name(f"{', '.join(pairs)}: first apart at '{value}'") for value, pairs in first.items()]
    return Group(table(f"{codes:,} codes of {found.samples:,} samples", columns, rows), *lines)


def pair_of(comparison: "Comparison") -> str:
    return f"{comparison.first} - {comparison.second}"


def show_apart(comparisons: "Sequence[Comparison]") -> Shown:
    """For each value whose codes differ, how many do, for each pair of engines."""
    counts: dict[str, list[int]] = {}
    for index, comparison in enumerate(comparisons):
        for d in comparison.differences:
            if d.differing:
                counts.setdefault(d.value, [0] * len(comparisons))[index] = d.differing
    if not counts:
        return []
    sizes = {d.value: d.codes for d in comparisons[0].differences}
    order = [name for name in sizes if name in counts]
    more = f", the first {MOST_ROWS} of {len(order)}" if len(order) > MOST_ROWS else ""
    columns = ["value", "codes", *(f"{c.first}\n{c.second}" for c in comparisons)]
    rows = [[name, sizes[name], *counts[name]] for name in order[:MOST_ROWS]]
    return [table(f"codes that differ, by value{more}", columns, rows)]


def float_verdict(found: "Verification") -> Text:
    """Of C that computes in float."""
    assert found.tolerance is not None
    pairs = [c for c in found.comparisons if c.differences]
    worst = max((d.largest for c in pairs for d in c.differences if d.value in found.library), default=0)
    library = f", but for {many(len(found.library), 'value')} by math.h, {worst} units in the last place apart at most"
    same = f"Every step of the C is what it means in numpy, bit for bit{library if found.library else ''}." if found.exact else (
        "The C and what its steps mean in numpy differ.")
    near, distance = found.distance <= found.tolerance, f"{found.distance:.1e} of the largest"
    away = f" Its outputs are {f'within {distance} of' if near else f'up to {distance} away from'} onnxruntime's (tolerance " \
           f"{found.tolerance:.0e}): not bit for bit, since float sums have another order there."
    agreeing = next((c.agreement for c in found.comparisons if not c.differences and c.misplaced), 1.0)
    other = f" For {100 * (1 - agreeing):.3g} % of the samples its answer is another: look whether the best scores are that near."
    alike = " Its outputs are onnxruntime's." if agreeing == 1 else ""
    return Text(same + (away if found.distance else alike) + other * (agreeing < 1),
                style="bold green" if found.exact and near and agreeing == 1 else "bold yellow")


def verdict(found: "Verification") -> Text:
    if found.tolerance is not None:
        return float_verdict(found)
    engines = {name for c in found.comparisons for name in (c.first, c.second)}
    other = next((f"the {name.capitalize()}" for name in engines if name.split()[0] == "c"), "onnxruntime")
    if found.exact:
        return Text(f"The integer program and {other} agree in every code.", style="bold green")
    if not found.wide:
        return Text(f"The integer program and {other} differ.", style="bold yellow")
    pair = next((c for c in found.comparisons if {c.first, c.second} == {"program", other}), found.comparisons[-1])
    return Text(
        f"The integer program and {other} differ in {pair.differing:,} of {pair.codes:,} codes, by {pair.largest} at most. "
        f"{found.wide} values have codes of more than 8 bits: {other} has no integer kernels for them and adds them up in float32, "
        "where the last digit is rounded; the program adds exactly. A few codes more or less of 65,536 are therefore no fault.",
        style="yellow",
    )


def show_differences(found: Sequence["Difference"]) -> Shown:
    """Two plans side by side."""
    if not found:
        return [Text("The plans treat every value alike.")]
    rows = [[d.name, d.first, d.second] for d in found]
    return [table("values that the plans treat differently", ["value", "first plan", "second plan"], rows, left=3)]


def show_whole_plan(plan: "Plan") -> Shown:
    """Every value, and every reason."""
    from bitsmith.planning.plan import describe

    names = dict.fromkeys((*plan.encodings, *plan.reasons))
    rows = [[name, "dynamic" if name in plan.dynamic else describe(plan.encodings.get(name)), plan.reasons.get(name)] for name in names]
    made = ", ".join(f"{key} {value['name'] if isinstance(value, dict) else value}" for key, value in plan.made_with.items())
    return [table("plan", ["value", "encoding", "reason"], rows, left=3), *([Name(f"made with {made}")] if made else [])]


def show_demonstration(found: "Demonstration") -> Shown:
    """Engines, the confusion matrix, and whether the engines agree."""
    before = found.result.float_evaluation
    a, b = size_on_disk([found.original]), size_on_disk(found.written)
    rows: list[list[Any]] = [["float32", "onnxruntime", percent(before.top1 if before else None), "", size(a)]]
    for engine, evaluation in found.evaluations.items():
        rows.append(["int8", engine, percent(evaluation.top1), percent(evaluation.agreement), size(b)])
    title = f"handwritten digits, {found.verification.samples} test images"
    matrix = found.evaluations["program"].confusion
    return [
        table(title, ["network", "engine", "top-1", "same answer as float32", "file"], rows, left=2),
        *([] if matrix is None else [confusion(matrix.tolist())]),
        show_pairs(found.verification),
        Group(Text(f"The file in int8 is {times_smaller(a, b)}.", style="bold"), verdict(found.verification)),
        wrote(found.written),
    ]


def quantized_data(result: "Quantized", written: Sequence[Path]) -> dict[str, Any]:
    """A quantization for `--json`."""
    return {
        "files": [str(p) for p in written],
        "target": result.target,
        "made_with": result.plan.made_with,
        "encoded": len(result.plan.encodings),
        "reasons": {name: reason for name, reason in result.plan.reasons.items() if worth_saying(name, reason, result.plan)},
        "float": None if result.float_evaluation is None else result.float_evaluation.to_dict(),
        "quantized": None if result.evaluation is None else result.evaluation.to_dict(),
        **({"bytes": firmware_sizes(result)} if any(path.suffix == ".c" for path in written) else {}),
    }


def statistics_data(found: "Collection", written: Path) -> dict[str, Any]:
    """Statistics for `--json`."""
    values = {
        name: {"numbers": s.count, "minimum": s.minimum, "maximum": s.maximum, "mean": s.mean, "nan": s.nans} for name, s in found.items()
    }
    return {"file": str(written), "network": found.network, "values": values}


def plan_data(plan: "Plan") -> dict[str, Any]:
    """A plan for `--json`: one line of words for each value."""
    from bitsmith.planning.plan import describe

    values = {name: describe(e) for name, e in plan.encodings.items()}
    return {"made_with": plan.made_with, "values": values, "dynamic": sorted(plan.dynamic), "reasons": dict(plan.reasons)}


def demonstration_data(found: "Demonstration") -> dict[str, Any]:
    """The demonstration for `--json`."""
    return {
        **quantized_data(found.result, found.written),
        "engines": {engine: evaluation.to_dict() for engine, evaluation in found.evaluations.items()},
        "verification": found.verification.to_dict(),
    }
