"""One process and several give the same statistics and the same plan, byte for byte."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import bitsmith as bs
from bitsmith.errors import DataError
from bitsmith.loading.data import open_data
from bitsmith.shards import calibrate_in_shards, parse_shard
from tests.networks import attention, conv_bn_relu, feeds

SAMPLES = 300


@pytest.fixture(params=[conv_bn_relu, attention], ids=lambda make: make.__name__)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    model = request.param()
    onnx.save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", **feeds(model, SAMPLES))
    return tmp_path / "net.onnx", tmp_path / "data.npz"


def bitsmith(*arguments: str | Path, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", "bitsmith", *map(str, arguments)], check=True, cwd=cwd, capture_output=True)


def plan_from(statistics: Path, network: Path) -> bytes:
    """The plan that these statistics lead to, as it is written."""
    output = statistics.with_suffix(".onnx")
    bitsmith("quantize", network, "--stats", statistics, "--recipe", "int8", "--everything", "-o", output, cwd=network.parent)
    return output.with_suffix(".plan.json").read_bytes()


def test_one_process_and_four_give_the_same_bytes(files: tuple[Path, Path]) -> None:
    network, data = files
    folder = network.parent
    bitsmith("calibrate", network, "--data", data, "-o", folder / "one.stats", cwd=folder)
    bitsmith("calibrate", network, "--data", data, "--processes", "4", "-o", folder / "four.stats", cwd=folder)
    for number in range(1, 5):
        bitsmith("calibrate", network, "--data", data, "--shard", f"{number}/4", "-o", folder / "part{shard}.stats", cwd=folder)
    bitsmith("merge", *(folder / f"part{n}.stats" for n in range(1, 5)), "-o", folder / "merged.stats", cwd=folder)
    one = (folder / "one.stats").read_bytes()
    assert (folder / "four.stats").read_bytes() == one
    assert (folder / "merged.stats").read_bytes() == one
    assert plan_from(folder / "one.stats", network) == plan_from(folder / "merged.stats", network)


def test_channels_are_counted_in_shards_too(files: tuple[Path, Path]) -> None:
    network, data = files
    whole = bs.calibrate(bs.load(network), str(data), per_channel=True)
    parts = calibrate_in_shards(network, data, 3, processes=1, per_channel=True)
    bs.save_statistics(whole, network.parent / "a.stats")
    bs.save_statistics(parts, network.parent / "b.stats")
    assert (network.parent / "a.stats").read_bytes() == (network.parent / "b.stats").read_bytes()


def test_a_dask_cluster_counts_the_same(files: tuple[Path, Path]) -> None:
    distributed = pytest.importorskip("distributed", reason="dask's distributed is not installed, so its back end was not tried")
    from joblib import parallel_config

    network, data = files
    with distributed.Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None), parallel_config(backend="dask"):
        found = calibrate_in_shards(network, data, 3)
    expected = bs.calibrate(bs.load(network), str(data))
    for collection, name in ((found, "a"), (expected, "b")):
        bs.save_statistics(collection, network.parent / f"{name}.stats")
    assert (network.parent / "a.stats").read_bytes() == (network.parent / "b.stats").read_bytes()


def test_sensitivities_in_shards_are_those_of_one_process(files: tuple[Path, Path]) -> None:
    network, data = files
    folder, command = network.parent, ("sensitivity", network, "--data", data, "--widths", "8,4", "--samples", "16")
    bitsmith(*command, "-o", folder / "one.json", cwd=folder)
    for number in (1, 2, 3):
        bitsmith(*command, "--shard", f"{number}/3", "-o", folder / "part{shard}.json", cwd=folder)
    bitsmith("merge", *(folder / f"part{n}.json" for n in (3, 1, 2)), "-o", folder / "merged.json", cwd=folder)
    assert (folder / "merged.json").read_bytes() == (folder / "one.json").read_bytes()
    bitsmith(*command[:-1], "8", "-o", folder / "other.json", cwd=folder)
    with pytest.raises(subprocess.CalledProcessError):
        bitsmith("merge", folder / "one.json", folder / "other.json", "-o", folder / "both.json", cwd=folder)


def test_progress_counts_shards(files: tuple[Path, Path]) -> None:
    seen: list[tuple[int, int | None]] = []
    calibrate_in_shards(*files, 2, processes=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_what_is_wrong_is_told_before_any_process_starts(files: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="at most 5"):
        calibrate_in_shards(*files, 6)


def test_a_process_learns_its_shard_from_its_launcher() -> None:
    assert parse_shard("3/8") == (3, 8)
    assert parse_shard("env", {"RANK": "0", "WORLD_SIZE": "4"}) == (1, 4)
    assert parse_shard("env", {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}) == (4, 4)
    with pytest.raises(DataError, match="torchrun"):
        parse_shard("env", {})
    for text in ("3", "a/b", "3/", "-1/2"):
        with pytest.raises(DataError, match="3/8"):
            parse_shard(text)


def test_shards_know_the_positions_of_their_samples(files: tuple[Path, Path]) -> None:
    network = bs.load(files[0])
    data = open_data(str(files[1]), network)
    assert [data.shard(n, 3).first for n in (1, 2, 3)] == [0, 64, 192]
    assert [data.shard(2, 2).shard(n, 2).first for n in (1, 2)] == [128, 192]
    latest = next(iter(bs.calibrate(network, data.shard(3, 3)).values())).latest
    assert latest is not None
    assert (latest.end, len(latest.ends)) == (SAMPLES, SAMPLES - 192)
