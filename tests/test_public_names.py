"""The public list: a name that appears or vanishes must do so here as well."""

import subprocess
import sys

import pytest

import bitsmith as bs

PUBLIC = {
    "Accumulators", "BitsmithError", "Blocks", "CComparison", "Collection", "Data", "Encoding", "EstimatorComparison", "EstimatorSettings",
    "Evaluation",
    "FixedPoint", "FixedPointAnalysis", "FixedPointType", "Goal", "Inspection", "Integer", "Plan", "Preprocessing", "Quantized", "Recipe",
    "ReportExtras", "Rule", "Search", "Sensitivity", "SensitivitySettings", "Verification", "accumulators", "analyze_fixed_point",
    "calibrate",
    "compare_c", "compare_estimators",
    "compare_fraction_lengths", "compare_plans", "end_with", "evaluate", "fixed_point", "inspect", "load", "load_plan", "load_recipe",
    "load_statistics", "make_plan", "open_data", "parse_format", "quantize", "recipes", "refine", "save_statistics", "search",
    "sensitivity", "take_raw_input", "verify", "write", "write_report",
}  # fmt: skip


def test_public_names_are_these() -> None:
    assert set(bs.__all__) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(bs, name).__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        bs.quantise  # type: ignore[attr-defined]  # noqa: B018


def test_import_alone_loads_nothing_heavy() -> None:
    heavy = ["numpy", "onnx", "onnx_ir", "onnxruntime", "torch", "rich", "typer", "PIL"]
    code = f"import sys, bitsmith; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_command_line_help_loads_neither_onnx_nor_numpy() -> None:
    code = "import sys, bitsmith.cli; print([m for m in ('numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
