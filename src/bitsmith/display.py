"""How results look in a terminal: each kind of result as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from bitsmith.terminal import confusion, percent, size, table

if TYPE_CHECKING:
    from bitsmith.analysis.evaluate import Evaluation
    from bitsmith.analysis.inspect import Inspection
    from bitsmith.analysis.verify import Verification
    from bitsmith.calibration.collection import Collection
    from bitsmith.demo import Demonstration
    from bitsmith.planning.plan import Difference, Plan
    from bitsmith.workflow import Quantized

MOST_CLASSES = 20
MOST_ROWS = 12
Shown = list[RenderableType]


def show_inspection(found: "Inspection") -> Shown:
    """Layers, then what each width would cost."""
    rows = [
        [
            layer.name,
            layer.operator,
            shape(layer.shape),
            layer.parameters or None,
            layer.macs or None,
            None if layer.low is None else f"[{layer.low:.4g}, {layer.high:.4g}]",
            layer.integer,
        ]
        for layer in found.layers
    ]
    fed = [[name, shape(dims)] for name, dims in (*found.inputs.items(), *found.outputs.items())]
    widths = [[f"{bits} bits", size(count)] for bits, count in found.weight_bytes.items()]
    return [
        table("inputs and outputs", ["name", "shape"], fed, left=2),
        table("layers", ["name", "operator", "output", "parameters", "MACs", "weights", "on codes"], rows, left=3),
        Text(f"{len(found.layers)} layers, {found.parameters:,} parameters, {found.macs:,} MACs for one sample, opset {found.opset}"),
        table("all weights would take", ["width", "bytes"], widths),
    ]


def shape(dims: Sequence[int | str] | None) -> str:
    return "?" if dims is None else "x".join(map(str, dims))


def show_statistics(found: "Collection") -> Shown:
    """Ranges of every value."""
    rows = [
        [name, s.count, s.minimum, s.maximum, s.mean_minimum, s.mean_maximum, percent(s.zeros / max(1, s.count))]
        for name, s in found.items()
    ]
    return [table("values counted", ["value", "numbers", "minimum", "maximum", "mean min", "mean max", "zeros"], rows)]


def show_quantized(result: "Quantized", written: Sequence[Path], original: Path | None) -> Shown:
    """What stayed float and why, then the verdict."""
    return [*show_plan(result.plan), *show_verdict(result, written, original)]


def show_plan(plan: "Plan") -> Shown:
    """Formats used, and everything that is not as the recipe asked."""
    counts: dict[str, int] = {}
    for encoding in plan.encodings.values():
        counts[encoding.format.name] = counts.get(encoding.format.name, 0) + 1
    used = ", ".join(f"{n} values {name}" for name, n in sorted(counts.items()))
    rows = [[name, reason] for name, reason in plan.reasons.items() if worth_saying(name, reason, plan)]
    shown: Shown = [
        Text(f"plan: {used or 'everything stays float'}" + (f", {len(plan.dynamic)} found at run time" if plan.dynamic else ""))
    ]
    return [*shown, table("worth knowing", ["node or value", "what was decided"], rows, left=2)] if rows else shown


def worth_saying(name: str, reason: str, plan: "Plan") -> bool:
    """True for what stays float and for scales that were widened."""
    return "widened" in reason or (name not in plan.encodings and name not in plan.dynamic and not reason.startswith("needs no codes"))


def show_verdict(result: "Quantized", written: Sequence[Path], original: Path | None) -> Shown:
    """Float against quantized."""
    before, after = result.float_evaluation, result.evaluation
    rows: list[list[Any]] = []
    if before is not None and after is not None:
        if before.top1 is not None and after.top1 is not None:
            rows.append(["top-1", percent(before.top1), percent(after.top1), f"{100 * (after.top1 - before.top1):+.2f} points"])
        if before.top5 is not None and after.top5 is not None:
            rows.append(["top-5", percent(before.top5), percent(after.top5), f"{100 * (after.top5 - before.top5):+.2f} points"])
        rows.append(["same answer", "", percent(after.agreement), ""])
        rows.append(["signal to noise", "", f"{after.snr_db:.1f} dB", ""])
    model = next((p for p in written if p.suffix == ".onnx"), None)
    if model is not None and original is not None:
        a, b = original.stat().st_size, sum(p.stat().st_size for p in written if p.suffix != ".json")
        rows.append(["size", size(a), size(b), f"{a / max(1, b):.2f} times smaller"])
    title = f"float and quantized ({after.samples:,} samples, engine {after.engine})" if after is not None else "float and quantized"
    shown: Shown = [table(title, ["", "float", "quantized", "difference"], rows)] if rows else []
    return [*shown, *(Text(f"wrote {path}") for path in written)]


def show_evaluation(found: "Evaluation") -> Shown:
    """Figures, then the confusion matrix where it is small enough to look at."""
    rows: list[list[Any]] = [
        ["top-1", percent(found.top1)],
        ["top-5", percent(found.top5)],
        ["same answer", percent(found.agreement)],
        ["mean squared error", None if found.mse is None else f"{found.mse:.4g}"],
        ["signal to noise", None if found.snr_db is None else f"{found.snr_db:.2f} dB"],
        *([name, f"{value:.6g}"] for name, value in (found.metrics or {}).items()),
    ]
    measured = [row for row in rows if row[1]]
    against = f", against {found.against}" if found.against else ""
    shown: Shown = [table(f"{found.samples:,} samples, engine {found.engine}{against}", ["", ""], measured)]
    if found.confusion is not None and len(found.confusion) <= MOST_CLASSES:
        shown.append(confusion(found.confusion.tolist()))
    return shown


def show_verification(found: "Verification") -> Shown:
    """Pairs of engines, then where the codes part."""
    rows = [
        [
            f"{c.first} - {c.second}",
            c.codes,
            c.differing,
            c.largest,
            c.begins_at or "nowhere",
            percent(c.agreement),
            f"{c.output_error:.3g}",
        ]
        for c in found.comparisons
    ]
    columns = ["engines", "codes", "differ", "at most by", "first at", "same answer", "largest output error"]
    shown: Shown = [table(f"codes of {found.samples:,} samples", columns, rows)]
    apart: list[list[Any]] = [
        [f"{c.first} - {c.second}", d.value, d.codes, d.differing, d.largest]
        for c in found.comparisons
        for d in c.differences
        if d.differing
    ]
    if apart:
        more = f", the first {MOST_ROWS} of {len(apart)}" if len(apart) > MOST_ROWS else ""
        shown.append(
            table(f"values whose codes differ{more}", ["engines", "value", "codes", "differ", "at most by"], apart[:MOST_ROWS], left=2)
        )
    verdict = "The integer program and onnxruntime agree in every code." if found.exact else "The integer program and onnxruntime differ."
    return [*shown, Text(verdict, style="bold green" if found.exact else "bold yellow")]


def show_differences(found: Sequence["Difference"]) -> Shown:
    """Two plans side by side."""
    if not found:
        return [Text("The plans treat every value alike.")]
    return [
        table(
            "values that the plans treat differently",
            ["value", "first plan", "second plan"],
            [[d.name, d.first, d.second] for d in found],
            left=3,
        )
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

    return {"made_with": plan.made_with, "values": {name: describe(e) for name, e in plan.encodings.items()}, "reasons": dict(plan.reasons)}


def show_whole_plan(plan: "Plan") -> Shown:
    """Every value, and every reason."""
    from bitsmith.planning.plan import describe

    names = dict.fromkeys((*plan.encodings, *plan.reasons))
    rows = [[name, "dynamic" if name in plan.dynamic else describe(plan.encodings.get(name)), plan.reasons.get(name)] for name in names]
    return [table("plan", ["value", "encoding", "reason"], rows, left=3)]


def show_demonstration(found: "Demonstration") -> Shown:
    """One table of engines, the confusion matrix, and whether the engines agree."""
    before = found.result.float_evaluation
    rows: list[list[Any]] = [["float32", "onnxruntime", percent(before.top1 if before else None), "", size(found.original.stat().st_size)]]
    written = size(found.written[0].stat().st_size)
    for engine, evaluation in found.evaluations.items():
        rows.append(["int8", engine, percent(evaluation.top1), percent(evaluation.agreement), written])
    matrix = found.evaluations["program"].confusion
    shown: Shown = [
        table("handwritten digits, 500 test images", ["network", "engine", "top-1", "same answer as float", "size"], rows, left=2)
    ]
    if matrix is not None:
        shown += [Text(), confusion(matrix.tolist()), Text()]
    return [*shown, *show_verification(found.verification), *(Text(f"wrote {path}") for path in found.written)]


def demonstration_data(found: "Demonstration") -> dict[str, Any]:
    """The demonstration for `--json`."""
    return {
        **quantized_data(found.result, found.written),
        "engines": {engine: evaluation.to_dict() for engine, evaluation in found.evaluations.items()},
        "verification": found.verification.to_dict(),
    }
