"""Data of every kind come as batches that fit the network, or are refused by name before anything is computed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.errors import DataError
from bitsmith.loading.data import Data, Preprocessing, open_data
from bitsmith.loading.from_onnx import load

ONE = load(networks.conv_bn_relu())         # input [batch, 3, 8, 8]
TWO = load(networks.two_in_two_out())       # left [batch, 3, 6, 6], right [batch, 5]
TOKENS = load(networks.tokens())            # ids int64 [batch, 6]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(10, 3, 8, 8)).astype(np.float32)
Y = np.arange(10)
BOTH = {"left": RANDOM.normal(size=(10, 3, 6, 6)).astype(np.float32), "right": RANDOM.normal(size=(10, 5)).astype(np.float32)}


def together(data: Data, size: int = 4) -> tuple[dict[str, Any], Any]:
    """All batches joined."""
    batches = list(data.labelled(size))
    labels = [labels for _, labels in batches if labels is not None]
    joined = {name: np.concatenate([arrays[name] for arrays, _ in batches]) for name in batches[0][0]}
    return joined, np.concatenate(labels) if labels else None


def saved(folder: Path, kind: str) -> Path:
    path = folder / ("data.npy" if kind == "npy" else "data.npz")
    if kind == "npy":
        np.save(path, X)
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, x=X, y=Y)
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "compressed"])
def test_files(tmp_path: Path, kind: str) -> None:
    data = open_data(saved(tmp_path, kind), ONE)
    assert data.samples == 10
    for _ in range(2):      # as often as one likes
        arrays, labels = together(data)
        np.testing.assert_array_equal(arrays["input"], X)
        if kind != "npy":
            np.testing.assert_array_equal(labels, Y)
            np.testing.assert_array_equal(data.labels, Y)
    assert [len(batch["input"]) for batch in data.batches(4)] == [4, 4, 2]
    assert [len(batch["input"]) for batch in data] == [10]


class Loader:
    """What torch's DataLoader gives: lists of two arrays."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[list[Any]]:
        return ([X[i:i + self.size], Y[i:i + self.size]] for i in range(0, 10, self.size))


SOURCES: dict[str, tuple[Callable[[], Any], bool]] = {      # what makes it, and has it labels?
    "array": (lambda: X, False),
    "float64": (lambda: X.astype(np.float64), False),
    "pair": (lambda: (X, Y), True),
    "pair with a list": (lambda: (X, list(Y)), True),
    "mapping": (lambda: {"input": X, "y": Y}, True),
    "mapping by x": (lambda: {"x": X}, False),
    "mapping by any name": (lambda: {"images": X, "y": Y}, True),
    "mapping with labels": (lambda: {"images": X, "labels": Y}, True),
    "nested lists": (lambda: X.tolist(), False),
    "samples": (lambda: list(X), False),
    "batches": (lambda: [X[:3], X[3:4], X[4:]], False),
    "two batches as a tuple": (lambda: (X[:5], X[5:]), False),
    "labelled samples": (lambda: list(zip(X, Y, strict=True)), True),
    "labelled batches": (lambda: [(X[:7], Y[:7]), (X[7:], Y[7:])], True),
    "mappings": (lambda: [{"input": X[:7], "y": Y[:7]}, {"input": X[7:], "y": Y[7:]}], True),
    "mappings with labels": (lambda: [{"input": X[:7], "labels": Y[:7]}, {"input": X[7:], "labels": Y[7:]}], True),
    "generator": (lambda: (batch for batch in (X[:2], X[2:])), False),
    "labelled generator": (lambda: ((X[i], Y[i]) for i in range(10)), True),
    "function": (lambda: lambda: iter([X[:2], X[2:]]), False),
    "loader": (lambda: Loader(3), True),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_python_collections(kind: str) -> None:
    make, labelled = SOURCES[kind]
    arrays, labels = together(open_data(make(), ONE))
    assert arrays["input"].dtype == np.float32
    np.testing.assert_array_equal(arrays["input"], X)
    assert (labels is not None) == labelled
    if labelled:
        np.testing.assert_array_equal(labels, Y)


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if "generator" not in kind])
def test_all_but_generators_can_be_read_again(kind: str) -> None:
    data = open_data(SOURCES[kind][0](), ONE)
    assert not data.once
    assert sum(len(batch["input"]) for batch in data) == sum(len(batch["input"]) for batch in data) == 10


def test_a_generator_is_read_once_and_says_so() -> None:
    data = open_data((x for x in X), ONE)
    assert data.once
    assert data.samples is None
    assert len(list(data.batches(4))) == 3
    with pytest.raises(DataError, match="read once and was; give a list, or a function"):
        list(data.limit(2))
    with pytest.raises(DataError, match="labels of a generator come with its batches"):
        _ = data.labels


@pytest.mark.parametrize("source", [
    BOTH, [BOTH], [(BOTH["left"], BOTH["right"])], [{**BOTH, "y": Y}], [(BOTH, Y)], [(*BOTH.values(), Y)], (BOTH, Y)])
def test_several_inputs(source: Any) -> None:
    arrays, _ = together(open_data(source, TWO))
    for name, array in BOTH.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_torch_tensors_and_loaders() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.as_tensor(X).requires_grad_()
    np.testing.assert_array_equal(together(open_data(tensor, ONE))[0]["input"], X)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(Y)), batch_size=3)
    arrays, labels = together(open_data(loader, ONE))
    np.testing.assert_array_equal(arrays["input"], X)
    np.testing.assert_array_equal(labels, Y)


def test_token_ids_stay_integers_and_pixels_become_floats() -> None:
    ids = RANDOM.integers(0, 50, (4, 6)).astype(np.int32)
    assert together(open_data(ids, TOKENS))[0]["ids"].dtype == np.int64
    pixels = RANDOM.integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
    np.testing.assert_array_equal(together(open_data(pixels, ONE))[0]["input"], pixels.astype(np.float32))


def test_an_input_may_be_called_y() -> None:
    value = ir.Value(name="y", shape=ir.Shape(["n", 3]), type=ir.TensorType(ir.DataType.FLOAT))
    arrays, labels = together(open_data({"y": X[:, 0, 0, :3]}, [value]))
    np.testing.assert_array_equal(arrays["y"], X[:, 0, 0, :3])
    assert labels is None


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["array", "pair", "labelled samples", "batches", "loader", "function"]), st.integers(1, 12), st.integers(1, 12),
       st.integers(1, 12), st.booleans())
def test_limit_and_every_pick_what_slices_pick(kind: str, size: int, count: int, step: int, limit_first: bool) -> None:
    data = open_data(SOURCES[kind][0](), ONE)
    data = data.limit(count).every(step) if limit_first else data.every(step).limit(count)
    expected = X[:count][::step] if limit_first else X[::step][:count]
    arrays, labels = together(data, size)
    np.testing.assert_array_equal(arrays["input"], expected)
    assert data.samples in (None, len(expected))
    if SOURCES[kind][1]:
        np.testing.assert_array_equal(X[labels], expected)
        np.testing.assert_array_equal(data.labels, labels)


@pytest.mark.parametrize("kind", ["npy", "npz", "compressed"])
@pytest.mark.parametrize(("size", "step", "count"), [(3, 1, 10), (2, 3, 10), (1, 4, 2), (64, 9, 10)])
def test_files_pick_what_slices_pick(tmp_path: Path, kind: str, size: int, step: int, count: int) -> None:
    data = open_data(saved(tmp_path, kind), ONE).every(step).limit(count)
    np.testing.assert_array_equal(together(data, size)[0]["input"], X[::step][:count])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: X[:, :2], r"Array 'x' has the shape \[10, 2, 8, 8\] and the input 'input' needs \[samples, 3, 8, 8\]"),
    (lambda: X[0], r"a single sample needs an axis in front: array\[None\]"),
    (lambda: X.transpose(0, 2, 3, 1), r"its channels stand last: array.transpose\(0, 3, 1, 2\)"),
    (lambda: {"a": X, "b": X}, r"has the arrays 'a', 'b' and the network needs 'input' \(or x\); rename them"),
    (lambda: {"y": Y}, "has the arrays none"),
    (lambda: {"x": X, "y": Y[:4]}, "different numbers of samples: 'x' 10, 'y' 4"),
    (lambda: {"x": X, "y": 3}, "a single label"),
    (lambda: {"x": X, "labels": Y[:4]}, "different numbers of samples: 'x' 10, 'labels' 4"),
    (lambda: X[:0], "is empty: 'x' has no sample"),
    (list, "are empty"),
    (lambda: X.astype(str), "not an array of numbers"),
    (lambda: np.array([object()]), "not an array of numbers"),
    (lambda: X.astype(complex), "not an array of numbers"),
    (lambda: [X, X[:, :2]], r"A batch of 'input' has the shape \[10, 2, 8, 8\]"),
    (lambda: [(X, Y[:4])], "A batch has different numbers of samples: 'input' 10, 'y' 4"),
    (lambda: [(X, Y, Y)], "A batch has 3 parts and the network needs 'input'"),
    (lambda: [(X, 3)], "the single label 3"),
    (lambda: [["a", "b"]], "not an array of numbers"),
    (lambda: [[[1], [1, 2]]], "cannot be made an array"),
    (lambda: 3, "Data are a path, arrays or something to loop over, not int"),
    (lambda: None, "not NoneType"),
])
def test_data_that_do_not_fit_are_refused_at_the_door(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(make(), ONE)


def spoiled(number: float) -> Any:
    array = X.astype(np.float64)
    array[7, 1, 2, 3] = number
    return array


@pytest.mark.parametrize(("make", "message"), [
    (lambda: spoiled(np.nan), r"Array 'x' holds nan \(data must be finite\) in sample 7"),
    (lambda: spoiled(-np.inf), "holds -inf .* in sample 7"),
    (lambda: spoiled(1e300), r"holds 1e\+300 in sample 7, which the input 'input' \(float32\) cannot take"),
    (lambda: (x for x in spoiled(np.nan)), "Data for 'input' holds nan .* in sample 7"),
    (lambda: iter([]), "are empty"),
    (lambda: iter([X[:0]]), "are empty"),
    (lambda: iter([X, (X, Y)]), "Some batches have labels"),
    (lambda: iter([(X, Y), (X, np.eye(10))]), "do not fit each other"),
    (lambda: iter([X, X[:, :2]]), "A batch of 'input' has the shape"),
])
def test_what_only_reading_tells(make: Callable[[], Any], message: str) -> None:
    data = open_data(make(), ONE)
    with pytest.raises(DataError, match=message):
        list(data.batches(64))


def test_the_sample_is_counted_in_the_file_not_in_what_was_picked() -> None:
    array = X.copy()
    array[8] = np.nan
    with pytest.raises(DataError, match="in sample 8"):
        list(open_data(array, ONE).every(4).batches(2))
    assert len(list(open_data(array, ONE).every(3))) == 1       # 0, 3, 6, 9: sample 8 is not looked at


@pytest.mark.parametrize(("make", "message"), [
    (lambda: np.full((2, 6), 0.5), "is of type float64 and the input 'ids' takes int64; they must be whole numbers"),
    (lambda: np.full((2, 6), 2**63, np.uint64), r"holds 9223372036854775808 in sample 0, which the input 'ids' \(int64\) cannot take"),
])
def test_token_ids_must_be_whole_and_fit(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(open_data(make(), TOKENS))


def test_samples_must_number_the_same_for_all_inputs() -> None:
    with pytest.raises(DataError, match="different numbers of samples: 'left' 10, 'right' 9"):
        open_data({**BOTH, "right": BOTH["right"][:9]}, TWO)


def test_preprocessing_is_for_images() -> None:
    with pytest.raises(DataError, match="Preprocessing is for folders of images"):
        open_data(X, ONE, preprocessing=Preprocessing())


@pytest.mark.parametrize("wrong", [lambda data: data.limit(0), lambda data: data.every(0), lambda data: list(data.batches(0))])
def test_counts_below_one_are_refused(wrong: Callable[[Data], Any]) -> None:
    with pytest.raises(DataError):
        wrong(open_data(X, ONE))


def test_batches_of_a_mapping_are_views() -> None:
    """Nothing is copied where types and layout fit already."""
    assert all(np.shares_memory(batch["input"], X) for batch in open_data(X, ONE).batches(4))


ONE_INPUT = [ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["N", 4]))]


@pytest.mark.parametrize("samples", [1, 64, 65, 500, 1000])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", ["held", "npy", "npz", "packed", "columns"])
def test_shards_together_are_the_batches_of_the_whole(samples: int, count: int, kind: str, tmp_path: Path) -> None:
    x, y = np.arange(samples * 4, dtype=np.float32).reshape(samples, 4), np.arange(samples)
    whole = open_data(stored(kind, x, y, tmp_path), ONE_INPUT).every(2)
    batches = [(b["x"].tolist(), None if labels is None else labels.tolist()) for b, labels in whole.labelled()]
    if count > len(batches):
        with pytest.raises(DataError, match="too few"):
            whole.shard(1, count)
        return
    shards = [whole.shard(number, count) for number in range(1, count + 1)]
    assert [(b["x"].tolist(), None if labels is None else labels.tolist()) for s in shards for b, labels in s.labelled()] == batches
    assert sum(s.samples or 0 for s in shards) == whole.samples


def stored(kind: str, x: Any, y: Any, folder: Path) -> Any:
    """The samples in one of the forms that data have."""
    if kind == "held":
        return {"x": x, "y": y}
    if kind in ("npy", "columns"):
        np.save(folder / "x.npy", np.asfortranarray(x) if kind == "columns" else x)
        return folder / "x.npy"
    (np.savez_compressed if kind == "packed" else np.savez)(folder / "x.npz", x=x, y=y)
    return folder / "x.npz"


def test_shards_of_what_cannot_be_read_from_the_middle_are_refused() -> None:
    with pytest.raises(DataError, match="shards"):
        open_data([np.zeros((1, 4), np.float32)] * 200, ONE_INPUT).shard(1, 2)
    whole = open_data({"x": np.zeros((200, 4), np.float32)}, ONE_INPUT)
    for number in (0, 4):
        with pytest.raises(DataError, match="no shard"):
            whole.shard(number, 3)
