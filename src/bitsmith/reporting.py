"""A report about two files: the float network and what became of it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.carried_plan import carried_plan
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.report_rows import Material, ReportExtras, gather_rows
from bitsmith.loading.data import open_data
from bitsmith.loading.read_onnx import files_of
from bitsmith.planning.plan import Plan, load_plan
from bitsmith.workflow import Steps, evaluate, load


def write_report(
    source: str | Path, quantized: str | Path, path: str | Path, *, data: Any = None, extras: ReportExtras | None = None,
    progress: Steps | None = None,
) -> None:
    """Write one self-contained HTML page about a quantized file beside the float network that it was made from.

    source, quantized   .onnx files; the quantized one's plan is read where it lies beside it and fits, else what the file itself says
    data                to measure with, read several times, best with labels; None: nothing is measured
    extras              statistics of the calibration, latency, sensitivities: see ReportExtras. Without statistics ranges are the data's

    Raises LoadError, DataError and PlanError as the steps do, BitsmithError where the page cannot be written.
    """
    from bitsmith.report.page import write_page

    network, subject, steps = load(Path(source)), Subject(Path(quantized)), progress or (lambda title: nullcontext())
    tested = None if data is None else open_data(data, network)
    before = after = None
    if tested is not None:
        with steps("float") as advance:
            before = evaluate(network, tested, progress=advance)
        with steps("quantized") as advance:
            after = evaluate(Path(quantized), tested, against=network, progress=advance)
    extras = extras or ReportExtras()
    sizes = {Path(file).name: sum(part.stat().st_size for part in files_of(Path(file))) for file in (source, quantized)}
    plan, plan_from = plan_beside(Path(quantized), network, subject)
    material = Material(network, subject, plan, extras.statistics, before, after, tested, Path(quantized).name, sizes, plan_from, extras,
                        Path(source))
    with steps("comparing layers"):
        write_page(gather_rows(material), path)


def plan_beside(quantized: Path, network: ir.Model, subject: Subject) -> tuple[Plan, str]:
    """(plan, where from): the one that was written with a file, with its reasons; what the file says itself where there is none of this
    network."""
    beside = quantized.with_suffix(".plan.json")
    if beside.is_file():
        plan = load_plan(beside)
        if plan.made_with.get("network") == fingerprint(network):
            return plan, f"file '{beside.name}'"
        return carried_plan(subject), f"as the quantized file itself says; '{beside.name}' is of another network"
    return carried_plan(subject), f"as the quantized file itself says, without reasons: there is no '{beside.name}'"
