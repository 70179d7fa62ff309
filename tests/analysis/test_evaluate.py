"""Scores against plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsmith.analysis.evaluate import in_top, score
from bitsmith.errors import DataError

SCORES = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(6, 9)), elements=st.floats(-4, 4, width=16))


@given(SCORES, st.randoms(use_true_random=False))
def test_top_counts_as_sorting_does(scores: np.ndarray, random: object) -> None:
    truth = np.random.default_rng(0).integers(0, scores.shape[1], len(scores))
    ranked = np.argsort(-scores, axis=1, kind="stable")
    for count in (1, 5):
        assert in_top(scores, truth, count) == sum(t in r[:count] for t, r in zip(truth, ranked, strict=True))


@given(SCORES)
def test_batches_do_not_matter(scores: np.ndarray) -> None:
    truth = np.arange(len(scores)) % scores.shape[1]
    whole = score([({"out": scores}, truth, {"out": scores * 0.5})], "onnxruntime")
    parts = score([({"out": s[None]}, t[None], {"out": s[None] * 0.5}) for s, t in zip(scores, truth, strict=True)], "onnxruntime")
    assert (whole.top1, whole.top5, whole.agreement, whole.samples) == (parts.top1, parts.top5, parts.agreement, parts.samples)
    assert whole.confusion is not None
    assert np.array_equal(whole.confusion, parts.confusion)
    assert whole.mse == pytest.approx(parts.mse)


def test_confusion_has_truth_down_and_answers_across() -> None:
    found = score([({"out": np.eye(3, dtype=np.float32)[[0, 1, 1]]}, np.array([0, 1, 2]), None)], "program")
    assert found.confusion is not None
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert found.top1 == 2 / 3
    assert found.engine == "program"


def test_labels_of_pixels_are_counted_pixel_by_pixel() -> None:
    out = np.zeros((1, 2, 2, 2), np.float32)
    out[0, 1, 0, :] = 1
    assert score([({"out": out}, np.array([[[1, 1], [0, 1]]]), None)], "onnxruntime").top1 == 0.75


def test_equal_networks_have_no_noise() -> None:
    out = {"out": np.ones((2, 3), np.float32)}
    found = score([(out, None, out)], "onnxruntime", against="itself")
    assert (found.agreement, found.mse, found.snr_db, found.top1) == (1.0, 0.0, float("inf"), None)


def test_single_numbers_are_no_answers() -> None:
    out = {"out": np.ones((2, 1), np.float32)}
    found = score([(out, None, {"out": out["out"] * 2})], "onnxruntime", against="another")
    assert (found.agreement, found.against, found.mse, found.snr_db) == (None, "another", 1.0, pytest.approx(6.0206, abs=1e-4))


def test_metrics_get_everything_at_once() -> None:
    batches = [({"out": np.full((2, 1), i, np.float32)}, np.array([i, i]), None) for i in range(3)]
    found = score(batches, "onnxruntime", metrics={"total": lambda outputs, labels: outputs["out"].sum() + labels.sum()})
    assert found.metrics == {"total": 12.0}


@pytest.mark.parametrize("labels", [np.array([0.5, 1.0]), np.array([0, 1, 2]), np.array(["a", "b"])])
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="class numbers"):
        score([({"out": np.zeros((2, 3), np.float32)}, labels, None)], "onnxruntime")


def test_labels_beyond_the_classes_are_wrong_answers() -> None:
    found = score([({"out": np.zeros((1, 3), np.float32)}, np.array([7]), None)], "onnxruntime")
    assert found.top1 == 0
    assert found.confusion is not None
    assert found.confusion[7, 0] == 1


def test_no_data_is_an_error() -> None:
    with pytest.raises(DataError, match="empty"):
        score([], "onnxruntime")


def test_networks_that_end_in_answers() -> None:
    """Integers are classes themselves; a single score has none but 0."""
    answers = np.array([2, 0, 1, 1])
    found = score([({"out": answers}, np.array([2, 0, 1, 0]), {"out": np.array([2, 1, 1, 1])})], "onnxruntime")
    assert (found.top1, found.top5, found.agreement) == (0.75, None, 0.75)
    assert found.confusion is not None
    assert found.confusion.shape == (3, 3)
    assert found.confusion[0].tolist() == [1, 1, 0]
    single = score([({"out": np.float32([0.5, 2])}, np.array([0, 1]), None)], "onnxruntime")
    assert single.top1 == 0.5
