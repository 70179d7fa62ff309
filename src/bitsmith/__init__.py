"""bitsmith: what every bit of a neural network is worth.

    import bitsmith as bs

    network = bs.load("net.onnx")
    statistics = bs.calibrate(network, "calibration.npz")
    plan = bs.make_plan(network, statistics, recipe=bs.recipes.int8(), target="onnxruntime")
    bs.write(network, plan, "net.int8.onnx", target="onnxruntime")
    bs.verify("net.int8.onnx", "test.npz")

    bs.quantize("net.onnx", "calibration.npz", test="test.npz").write("net.int8.onnx")      # the same, in one call
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bitsmith import version

__version__ = version.VERSION

if TYPE_CHECKING:
    from bitsmith.analysis.accumulators import Accumulators, accumulators
    from bitsmith.analysis.compare_estimators import EstimatorComparison, EstimatorSettings, compare_estimators
    from bitsmith.analysis.evaluate import Evaluation
    from bitsmith.analysis.fixed_point import FixedPointAnalysis, analyze_fixed_point, compare_fraction_lengths
    from bitsmith.analysis.inspect import Inspection, inspect
    from bitsmith.analysis.report_rows import ReportExtras
    from bitsmith.analysis.search import search
    from bitsmith.analysis.search_hunt import Goal
    from bitsmith.analysis.search_points import Search
    from bitsmith.analysis.sensitivity import SensitivitySettings, sensitivity
    from bitsmith.analysis.sensitivity_file import Sensitivity
    from bitsmith.analysis.verify import Verification
    from bitsmith.calibration.collection import Collection
    from bitsmith.calibration.statistics_file import load_statistics, save_statistics
    from bitsmith.comparing_c import compare_c
    from bitsmith.errors import BitsmithError
    from bitsmith.loading.data import Data, Preprocessing, open_data
    from bitsmith.numerics import Blocks, Encoding, Integer, parse_format
    from bitsmith.numerics.fixed_point_type import FixedPoint, FixedPointType, fixed_point
    from bitsmith.planning import recipes
    from bitsmith.planning.plan import Plan, compare_plans, load_plan
    from bitsmith.planning.recipe import Recipe, Rule, load_recipe
    from bitsmith.report.c_rows import CComparison
    from bitsmith.reporting import write_report
    from bitsmith.rewrites.application import end_with, take_raw_input
    from bitsmith.workflow import Quantized, calibrate, evaluate, load, make_plan, quantize, refine, verify, write

# In the order in which a user meets them.
__all__ = [
    "Accumulators",
    "BitsmithError",
    "Blocks",
    "CComparison",
    "Collection",
    "Data",
    "Encoding",
    "EstimatorComparison",
    "EstimatorSettings",
    "Evaluation",
    "FixedPoint",
    "FixedPointAnalysis",
    "FixedPointType",
    "Goal",
    "Inspection",
    "Integer",
    "Plan",
    "Preprocessing",
    "Quantized",
    "Recipe",
    "ReportExtras",
    "Rule",
    "Search",
    "Sensitivity",
    "SensitivitySettings",
    "Verification",
    "accumulators",
    "analyze_fixed_point",
    "calibrate",
    "compare_c",
    "compare_estimators",
    "compare_fraction_lengths",
    "compare_plans",
    "end_with",
    "evaluate",
    "fixed_point",
    "inspect",
    "load",
    "load_plan",
    "load_recipe",
    "load_statistics",
    "make_plan",
    "open_data",
    "parse_format",
    "quantize",
    "recipes",
    "refine",
    "save_statistics",
    "search",
    "sensitivity",
    "take_raw_input",
    "verify",
    "write",
    "write_report",
]  # fmt: skip

# Where each is made. They are imported when they are first used, so that `import bitsmith` stays quick.
ROOMS = {
    "workflow": ("load", "calibrate", "make_plan", "refine", "write", "evaluate", "verify", "quantize", "Quantized"),
    "reporting": ("write_report",),
    "comparing_c": ("compare_c",),
    "report.c_rows": ("CComparison",),
    "analysis.inspect": ("inspect", "Inspection"),
    "analysis.accumulators": ("accumulators", "Accumulators"),
    "analysis.compare_estimators": ("compare_estimators", "EstimatorComparison", "EstimatorSettings"),
    "analysis.evaluate": ("Evaluation",),
    "analysis.fixed_point": ("analyze_fixed_point", "compare_fraction_lengths", "FixedPointAnalysis"),
    "analysis.search": ("search",),
    "analysis.search_hunt": ("Goal",),
    "analysis.search_points": ("Search",),
    "analysis.sensitivity": ("sensitivity", "SensitivitySettings"),
    "analysis.sensitivity_file": ("Sensitivity",),
    "analysis.verify": ("Verification",),
    "analysis.report_rows": ("ReportExtras",),
    "rewrites.application": ("take_raw_input", "end_with"),
    "loading.data": ("open_data", "Data", "Preprocessing"),
    "calibration.collection": ("Collection",),
    "calibration.statistics_file": ("save_statistics", "load_statistics"),
    "planning.recipe": ("Recipe", "Rule", "load_recipe"),
    "planning.plan": ("Plan", "load_plan", "compare_plans"),
    "numerics.fixed_point_type": ("fixed_point", "FixedPoint", "FixedPointType"),
    "numerics": ("Integer", "parse_format", "Blocks", "Encoding"),
    "errors": ("BitsmithError",),
}


def __getattr__(name: str) -> Any:
    if name == "recipes":
        return import_module("bitsmith.planning.recipes")
    for room, names in ROOMS.items():
        if name in names:
            return getattr(import_module(f"bitsmith.{room}"), name)
    raise AttributeError(f"module 'bitsmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
