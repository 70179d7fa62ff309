"""All estimators on one network: each row is what planning and evaluating with that estimator alone would say."""

import networks
import numpy as np
import pytest

import bitsmith as bs
from bitsmith.analysis.compare_estimators import OPTIONS, clipped_share, compare_estimators, usual_estimators
from bitsmith.calibration.ranges import estimator_names, parse_estimator
from bitsmith.errors import DataError, RecipeError

CHOSEN = ["min_max", "percentile:90", "mse"]


@pytest.fixture(scope="module")
def network() -> object:
    return bs.load(networks.conv_bn_relu())


def inputs(samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((samples, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def found(network: object) -> bs.EstimatorComparison:
    test = {"x": inputs(40, 1), "y": np.arange(40) % 5}
    return compare_estimators(network, {"input": inputs(30, 0)}, test, settings=bs.EstimatorSettings("int4", "onnx", CHOSEN))


def test_each_row_is_what_that_estimator_alone_would_give(network: object, found: bs.EstimatorComparison) -> None:
    statistics = bs.calibrate(network, {"input": inputs(30, 0)}, recipe="int4", target="onnx")
    for row in found.rows:
        recipe = bs.load_recipe("int4").with_rules(bs.Rule(estimator=row.estimator))
        alone = bs.quantize(network, statistics, test={"x": inputs(40, 1), "y": np.arange(40) % 5}, recipe=recipe, target="onnx")
        assert (row.top1, row.snr_db) == (alone.evaluation.top1, pytest.approx(alone.evaluation.snr_db))
        assert row.clipped == pytest.approx(clipped_share(alone.plan, statistics))
    assert [row.estimator for row in found.rows] == CHOSEN
    assert (found.samples, found.recipe, found.target) == (40, "int4", "onnx")
    assert found.float_top1 == alone.float_evaluation.top1


def test_narrow_ranges_clip_and_wide_ones_do_not(found: bs.EstimatorComparison) -> None:
    by_name = {row.estimator: row for row in found.rows}
    assert by_name["min_max"].clipped == 0
    assert by_name["percentile:90"].clipped > 0.05
    assert found.best.snr_db == max(row.snr_db for row in found.rows)
    assert found.to_dict()["best"] == found.best.estimator


def test_every_estimator_is_among_the_usual_ones() -> None:
    names = usual_estimators()
    assert {name.partition(":")[0] for name in names} == set(estimator_names())
    assert set(OPTIONS) <= set(estimator_names())
    assert all(callable(parse_estimator(name)) for name in names)


def test_statistics_serve_as_data_and_then_there_is_no_pass(network: object) -> None:
    statistics = bs.calibrate(network, {"input": inputs(30, 0)})
    settings = bs.EstimatorSettings(target="onnx", estimators=["min_max"])
    rows = compare_estimators(network, statistics, {"input": inputs(8, 1)}, settings=settings)
    assert rows.calibration_seconds is None
    assert (rows.float_top1, rows.rows[0].top1) == (None, None)


def test_what_cannot_be_compared(network: object) -> None:
    with pytest.raises(RecipeError, match="no estimator to compare"):
        compare_estimators(network, {"input": inputs(8, 0)}, {"input": inputs(8, 1)}, settings=bs.EstimatorSettings(estimators=[]))
    with pytest.raises(RecipeError, match="No range estimator is called 'entropy'"):
        compare_estimators(network, {"input": inputs(8, 0)}, {"input": inputs(8, 1)}, settings=bs.EstimatorSettings(estimators=["entropy"]))
    with pytest.raises(DataError, match="only once"):
        compare_estimators(network, {"input": inputs(8, 0)}, iter([{"input": inputs(8, 1)}]))
