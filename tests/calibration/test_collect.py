"""Calibration counts what the network computes, the same for any batches, threads and order."""

import ast
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import networks
import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from bitsmith.calibration import collect
from bitsmith.calibration.collect import calibrate
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.counting import count_plainly
from bitsmith.calibration.statistics import Statistics
from bitsmith.calibration.statistics_file import save_statistics
from bitsmith.errors import DataError, LoadError, StatisticsError
from bitsmith.loading.from_onnx import load
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session

CONV = networks.conv_bn_relu()
DATA = networks.feeds(CONV, 12)


def in_batches(data: dict[str, Array], size: int) -> list[dict[str, Array]]:
    return [{name: array[start:start + size] for name, array in data.items()} for start in range(0, len(next(iter(data.values()))), size)]


def file_of(collection: Collection, folder: Path) -> bytes:
    save_statistics(collection, folder / "net.stats")
    return (folder / "net.stats").read_bytes()


def without_order(collection: Collection) -> Collection:
    return Collection({name: Statistics(found.record, None) for name, found in collection.items()})


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_all_floats_are_counted_exactly(name: str) -> None:
    model = networks.NETWORKS[name]()
    network, data = load(model), networks.feeds(model, 5)
    found = calibrate(network, in_batches(data, 2), batch_size=1)
    session = Session(network, list(found), threads=1)
    for value, statistics in found.items():
        expected = Statistics()
        for sample in in_batches(data, 1):
            count_plainly(np.ascontiguousarray(session.run(sample)[value]).reshape(1, -1), expected.record)
        assert all(np.array_equal(a, b) for a, b in zip(statistics.record, expected.record, strict=True)), value


def test_by_default_all_float_activations_are_watched() -> None:
    assert "ids" not in calibrate(load(networks.tokens()), [networks.feeds(networks.tokens())])
    found = calibrate(load(CONV), [DATA])
    assert list(found)[:3] == ["input", "conv1_out", "bn1_out"]
    assert "conv1.weight" not in found
    assert "output" in found


def test_values_and_channels_can_be_chosen() -> None:
    found = calibrate(load(CONV), [DATA], values=["residual", "input", "residual"], channels={"input": (1, 3), "output": (1, 10)})
    assert list(found) == ["residual", "input"]
    assert list(found.channels) == ["input"]
    assert [part.minimum for part in found.channels["input"]] == DATA["input"].min((0, 2, 3)).tolist()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 5, 12])
def test_batches_and_threads_leave_no_trace(workers: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = file_of(calibrate(load(CONV), [DATA], batch_size=4), tmp_path)
    monkeypatch.setattr(collect, "processor_count", lambda: workers)
    assert file_of(calibrate(load(CONV), in_batches(DATA, size), batch_size=4), tmp_path) == expected
    backwards = calibrate(load(CONV), in_batches(DATA, size)[::-1], batch_size=4)
    assert file_of(without_order(backwards), tmp_path) == file_of(without_order(calibrate(load(CONV), [DATA], batch_size=4)), tmp_path)


def test_the_order_of_samples_is_that_of_the_data() -> None:
    found = calibrate(load(CONV), in_batches(DATA, 5), values=["input"], batch_size=2)["input"].latest
    assert found is not None
    assert found.end == 12
    assert found.ends.tolist() == [[sample.min(), sample.max()] for sample in DATA["input"]]


def test_merged_parts_are_the_whole(tmp_path: Path) -> None:
    parts = [calibrate(load(CONV), [batch], batch_size=4).moved(4 * i) for i, batch in enumerate(in_batches(DATA, 4))]
    whole = calibrate(load(CONV), [DATA], batch_size=4)
    assert file_of(parts[2].merge(parts[0]).merge(parts[1]), tmp_path) == file_of(whole, tmp_path)


def test_data_are_read_once_and_only_a_few_batches_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "processor_count", lambda: 2)
    alive, most = 0, 0
    lock = threading.Lock()

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            with lock:
                alive -= self.base is None

    def batches() -> Iterator[dict[str, Array]]:
        nonlocal alive, most
        for _ in range(60):
            array = Counted((1, 3, 8, 8), np.float32)
            array[:] = 1
            with lock:
                alive += 1
                most = max(most, alive)
            yield {"input": array}

    assert calibrate(load(CONV), batches(), values=["output"])["output"].samples == 60
    assert most <= 10


def test_a_fixed_batch_size_of_the_network_is_kept_to(tmp_path: Path) -> None:
    fixed, free = (calibrate(load(networks.conv_bn_relu(batch=batch)), [DATA], batch_size=4) for batch in (4, "batch"))
    assert file_of(fixed, tmp_path) == file_of(free, tmp_path)
    odd = calibrate(load(networks.conv_bn_relu(batch=5)), [DATA])
    assert {statistics.samples for statistics in odd.values()} == {12}


def test_progress_is_told() -> None:
    told: list[tuple[int, int | None]] = []
    calibrate(load(CONV), in_batches(DATA, 4), progress=lambda done, total: told.append((done, total)))
    calibrate(load(CONV), iter([DATA]), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3), (1, None)]


def test_empty_data_are_told() -> None:
    with pytest.raises(DataError, match="The data are empty"):
        calibrate(load(CONV), [])


def test_data_that_do_not_fit_stop_the_pass() -> None:
    asked: list[int] = []

    def batches() -> Iterator[dict[str, Array]]:
        for number in range(1000):
            asked.append(number)
            yield {"input": np.zeros((1, 3, 8, 7), np.float32)}

    with pytest.raises(DataError, match="needs the shape"):
        calibrate(load(CONV), batches())
    assert len(asked) < 100


def test_an_error_in_the_users_own_data_comes_through() -> None:
    def batches() -> Iterator[dict[str, Array]]:
        yield DATA
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        calibrate(load(CONV), batches())


def test_unknown_values_are_told() -> None:
    with pytest.raises(LoadError, match="No value called 'absent'"):
        calibrate(load(CONV), [DATA], values=["absent"])


def test_nan_in_some_samples_is_tallied() -> None:
    data = DATA["input"].copy()
    data[0] = np.nan
    data[1, 0, 0, 0] = np.inf
    found = calibrate(load(CONV), [{"input": data}])
    assert (found["input"].nans, found["input"].infinities, found["input"].samples) == (192, (0, 1), 11)
    assert found["input"].maximum == data[np.isfinite(data)].max()


def test_a_value_that_is_never_finite_is_told() -> None:
    nodes = [helper.make_node("Sub", ["x", "x"], ["zero"]), helper.make_node("Div", ["zero", "zero"], ["bad"])]
    x, bad = (helper.make_tensor_value_info(name, 1, ["N", 3]) for name in ("x", "bad"))
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [bad]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(StatisticsError, match=r"Value 'bad' never was a finite number \(12 NaN, 0 infinite\)"):
        calibrate(load(model), [{"x": np.ones((4, 3))}])


def test_the_batch_fits_the_values() -> None:
    network = load(CONV)
    assert collect.samples_at_once(network.graph, ["output"]) == collect.MOST_SAMPLES
    big = load(networks.conv_bn_relu())
    conv = next(value for node in big.graph for value in node.outputs)
    conv.shape = ir.Shape(["batch", 2**10, 2**5, 2**5])
    assert collect.samples_at_once(big.graph, [conv.name or ""]) == collect.NUMBERS_AT_ONCE // 2**20
    conv.shape = ir.Shape(["batch", 2**30])
    assert collect.samples_at_once(big.graph, [conv.name or ""]) == 1


def test_pieces_of_a_batch_are_about_equal() -> None:
    found = list(collect.placed(collect.pieces([{"x": np.ones(64)}, {"x": np.ones(3)}, {"x": np.ones(16)}], 15, None)))
    assert [len(piece["x"]) for _, piece in found] == [len(places) for places, _ in found] == [13, 13, 13, 13, 12, 3, 8, 8]
    assert [places.start for places, _ in found] == [0, 13, 26, 39, 52, 64, 67, 75]


def test_a_real_network(real_folder: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(real_folder))
    import real

    network = load(real.model("tiny_dscnn"))
    data, _ = real.inputs("tiny_dscnn", limit=40)
    whole = calibrate(network, [{"input": data}], batch_size=8)
    parts = [calibrate(network, [{"input": part}], batch_size=8).moved(8 * i) for i, part in enumerate(np.split(data, 5))]
    merged = parts[3].merge(parts[1]).merge(parts[4]).merge(parts[0]).merge(parts[2])
    assert file_of(merged, tmp_path) == file_of(whole, tmp_path)
    assert whole["input"].minimum == data.min()


def test_importing_it_is_cheap() -> None:
    code = "import sys, bitsmith.calibration.collect; print([m for m in ('onnxruntime', 'onnx', 'onnx_ir') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(printed) == []
