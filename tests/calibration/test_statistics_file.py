"""net.stats: what is written comes back, the same bytes each time; anything else is refused with a reason."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitsmith.calibration.channels import Channels
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics import Statistics
from bitsmith.calibration.statistics_file import as_npy, load_statistics, save_statistics, to_arrays
from bitsmith.errors import BitsmithError, StatisticsError
from bitsmith.numerics.formats import Array

Arrays = dict[str, Array]
FILE_SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)


def collect(seed: int = 0, network: str = "net") -> Collection:
    random = np.random.default_rng(seed)
    found = {name: Statistics() for name in ("input", "/layer/conv:0", "nothing", "Größe")}
    images = random.standard_normal((3, 2, 4))
    channels = {"input": Channels.empty(1, 2), "nothing": Channels.empty(2, 1)}
    for part in (found["input"], channels["input"]):
        part.observe(images)
    found["/layer/conv:0"].observe(np.maximum(random.standard_normal((3, 50)) * 1e-3, 0))
    found["Größe"].observe(np.array([[np.nan, -1e-42, 3e38], [np.inf, 0.0, -0.0]]))
    return Collection(found, network, channels)


def assert_same(a: Collection, b: Collection) -> None:
    assert set(a) == set(b)
    assert a.network == b.network
    for one, other in zip(to_arrays(a).values(), to_arrays(b).values(), strict=True):
        assert np.array_equal(one, other)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "net.stats"
    save_statistics(collect(), str(path))
    back = load_statistics(str(path))
    assert_same(back, collect())
    assert back["nothing"].count == 0
    assert list(back.channels) == ["input", "nothing"]
    assert (back.channels["input"].axis, len(back.channels["input"]), back.channels["nothing"].axis) == (1, 2, 2)
    assert back.channels["input"][1].mean == collect().channels["input"][1].mean
    assert back["input"].moving_extremes(0.9) == collect()["input"].moving_extremes(0.9)
    assert back["input"].merge(collect()["input"]).count == 48


def without_order(collection: Collection) -> Collection:
    return Collection({name: Statistics(found.record, None) for name, found in collection.items()}, collection.network, collection.channels)


def of_version(version: int, collection: Collection) -> Arrays:
    arrays = say(version=version)(to_arrays(collection))
    return {name: array for name, array in arrays.items() if name not in ("latest", "places")}


def test_version_2_is_read_and_has_no_order_of_samples(tmp_path: Path) -> None:
    write(tmp_path / "net.stats", of_version(2, collect()))
    back = load_statistics(tmp_path / "net.stats")
    assert_same(back, without_order(collect()))
    with pytest.raises(StatisticsError, match="calibrate again"):
        back["input"].moving_extremes(0.9)
    save_statistics(back, tmp_path / "again.stats")
    assert load_statistics(tmp_path / "again.stats")["input"].latest is None
    assert collect().merge(back)["input"].latest is None


def test_version_1_is_read(tmp_path: Path) -> None:
    plain = without_order(Collection(collect().statistics, "net"))
    written = {**of_version(1, plain), "channels": np.zeros((2, 0), np.float32), "widths": np.full(4, -1)}
    about = json.loads(written["about"].tobytes())
    del about["channels"]
    write(tmp_path / "net.stats", {**written, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    assert_same(load_statistics(tmp_path / "net.stats"), plain)


def test_no_values_are_a_sound_file(tmp_path: Path) -> None:
    save_statistics(Collection({}), tmp_path / "net.stats")
    assert len(load_statistics(tmp_path / "net.stats")) == 0


def test_same_statistics_same_bytes(tmp_path: Path) -> None:
    a, b = tmp_path / "a.stats", tmp_path / "b.stats"
    save_statistics(collect(1).merge(collect(2)), a)
    other = collect(2).merge(collect(1))
    reordered = {name: other[name] for name in reversed(list(other))}
    save_statistics(Collection(reordered, other.network, dict(reversed(other.channels.items()))), b)
    assert a.read_bytes() == b.read_bytes()
    save_statistics(load_statistics(a), b)
    assert a.read_bytes() == b.read_bytes()


def test_numpy_itself_can_read_it(tmp_path: Path) -> None:
    save_statistics(collect(), tmp_path / "net.stats")
    with np.load(tmp_path / "net.stats", allow_pickle=False) as archive:
        everything = [*collect().values(), *(part for found in collect().channels.values() for part in found)]
        assert archive["counts"].sum() == sum(statistics.count for statistics in everything)


def test_statistics_of_another_network_are_refused(tmp_path: Path) -> None:
    save_statistics(collect(network="abc"), tmp_path / "net.stats")
    assert load_statistics(tmp_path / "net.stats", network="abc").network == "abc"
    with pytest.raises(StatisticsError, match="of another network"):
        load_statistics(tmp_path / "net.stats", network="abd")
    with pytest.raises(StatisticsError, match="of another network"):
        collect(network="abc").merge(collect(network="abd"))


def test_merging_other_values_is_refused() -> None:
    with pytest.raises(StatisticsError, match="statistics of 'nothing'"):
        collect().merge(Collection({name: s for name, s in collect().items() if name != "nothing"}))


def test_a_file_that_is_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StatisticsError, match="There is no file"):
        load_statistics(tmp_path / "net.stats")
    with pytest.raises(StatisticsError, match="cannot be read"):
        load_statistics(tmp_path)
    with pytest.raises(BitsmithError, match="Cannot write"):
        save_statistics(collect(), tmp_path / "absent" / "net.stats")


def content() -> bytes:
    archive = io.BytesIO()
    write(archive, to_arrays(collect()))
    return archive.getvalue()


def write(file: io.BytesIO | Path, arrays: Arrays, compression: int = zipfile.ZIP_STORED) -> None:
    types = {"about": "|u1", "bins": "<u2", "extremes": "<f4", "latest": "<f4"}
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", as_npy(array.astype(types.get(name, "<i8"))))


@FILE_SETTINGS
@given(st.integers(0, len(content()) - 1))
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.stats"
    path.write_bytes(content()[:length])
    with pytest.raises(StatisticsError, match="is no sound file"):
        load_statistics(path)


@FILE_SETTINGS
@given(st.lists(st.tuples(st.integers(0, len(content()) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bits_are_refused_or_harmless(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    spoilt = bytearray(content())
    for place, bits in flips:
        spoilt[place] ^= bits
    path = tmp_path / "spoilt.stats"
    path.write_bytes(spoilt)
    try:
        found = load_statistics(path)
    except StatisticsError:
        return
    assert_same(found, collect())       # a date, or another field without meaning


@FILE_SETTINGS
@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "noise.stats"
    path.write_bytes(noise)
    with pytest.raises(StatisticsError, match="is no sound file"):
        load_statistics(path)


def alter(key: str, change: Callable[[Array], Array]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, key: change(arrays[key])}


def put(key: str, place: int | tuple[int, ...], number: float | tuple[float, float]) -> Callable[[Arrays], Arrays]:
    def change(array: Array) -> Array:
        changed = array.copy()
        changed[place] = number
        return changed

    return alter(key, change)


def say(**changes: object) -> Callable[[Arrays], Arrays]:
    def change(about: Array) -> Array:
        return np.frombuffer(json.dumps({**json.loads(about.tobytes()), **changes}).encode(), np.uint8)

    return alter("about", change)


HOSTILE = {
    "an array is missing": lambda arrays: {key: array for key, array in arrays.items() if key != "bins"},
    "one too many": lambda arrays: {**arrays, "code": arrays["bins"]},
    "not JSON": alter("about", lambda about: about[:-1]),
    "JSON nested too deep": alter("about", lambda about: np.frombuffer(b"[" * 100_000, np.uint8)),
    "another kind": say(kind="weights"),
    "a later version": say(version=4),
    "an earlier version": say(version=2),
    "names are numbers": say(values=[1, 2, 3, 4]),
    "names twice": say(values=["a", "a", "b", "c"]),
    "half a surrogate pair": say(values=["\ud800", "a", "b", "c"]),
    "fewer names": say(values=["a", "b", "c"]),
    "no network": say(network=None),
    "bins out of order": alter("bins", lambda bins: bins[::-1]),
    "a count of 0": put("counts", 0, 0),
    "a count below 0": put("counts", 0, -5),
    "a count that overflows": put("counts", 0, 2**62),
    "fewer counts": alter("counts", lambda counts: counts[:-1]),
    "a bin of infinity": put("bins", -1, 0x7F80),
    "occupied overflows": put("occupied", 0, 2**63 - 1),
    "occupied below 0": put("occupied", 0, -1),
    "totals not canonical": put("totals", (0, 0, 0), -1),
    "totals too large": put("totals", (0, 0, 19), 2**62),
    "squares below 0": put("totals", (0, 1, 19), -1),
    "minimum elsewhere": put("extremes", (0, 0), -1e9),
    "maximum elsewhere": put("extremes", (0, 1), 1e9),
    "a NaN extreme": put("extremes", (0, 0), np.nan),
    "extremes of nothing": put("extremes", (3, 0), 0.0),
    "more samples than numbers": put("tallies", (0, 0), 10**6),
    "samples without numbers": put("tallies", (3, 0), 1),
    "NaN below 0": put("tallies", (0, 1), -1),
    "another rank": alter("totals", lambda totals: totals.reshape(-1)),
    "latest missing": lambda arrays: {key: array for key, array in arrays.items() if key != "latest"},
    "latest and places missing": lambda arrays: {key: array for key, array in arrays.items() if key not in ("latest", "places")},
    "more latest than places": alter("latest", lambda ends: np.concatenate([ends, ends])),
    "latest of another shape": alter("latest", lambda ends: ends[:, :1]),
    "latest of one axis": alter("latest", lambda ends: ends.reshape(-1)),
    "places of another shape": alter("places", lambda places: places[:, :1]),
    "places below 0": put("places", (0, 1), -2),
    "places that overflow": put("places", (0, 1), 2**63 - 1),
    "an end before its samples": put("places", (0, 0), 1),
    "an end beyond all data": put("places", (0, 0), 2**62),
    "an end of nothing": put("places", (3, 0), 5),
    "more kept than ever are": put("places", (0, 1), 2000),
    "a latest NaN": put("latest", (0, 0), np.nan),
    "a latest beyond the extremes": put("latest", (0, 1), 1e9),
    "a latest below the extremes": put("latest", (0, 0), -1e9),
    "an absent one at the beginning": put("latest", 0, (np.inf, -np.inf)),
    "an absent one in the end": put("latest", -1, (np.inf, -np.inf)),
    "half an infinity": put("latest", (1, 0), np.inf),
    "channels of nothing": say(channels={"absent": [1, 2]}),
    "channels in a list": say(channels=[[1, 2]]),
    "channels of axis 0": say(channels={"input": [0, 2], "nothing": [2, 1]}),
    "channels that are true": say(channels={"input": [1, 2], "nothing": [2, True]}),
    "too few channels": say(channels={"input": [1, 2]}),
    "too many channels": say(channels={"input": [1, 2**60], "nothing": [2, 1]}),
    "a channel that contradicts itself": put("tallies", (4, 0), 10**6),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays_are_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / "net.stats", HOSTILE[name](to_arrays(collect())))
    with pytest.raises(StatisticsError, match="is no sound file"):
        load_statistics(tmp_path / "net.stats")


def test_untouched_arrays_are_not_refused(tmp_path: Path) -> None:
    write(tmp_path / "net.stats", to_arrays(collect()))
    assert_same(load_statistics(tmp_path / "net.stats"), collect())


def test_a_compressed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    write(tmp_path / "net.stats", {**to_arrays(collect()), "totals": np.zeros((10**6, 4), np.int64)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(StatisticsError, match="impossible sizes"):
        load_statistics(tmp_path / "net.stats")


@pytest.mark.parametrize("header", [
    b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999,), }\n",
    b"{'descr': '<i8', 'fortran_order': False, 'shape': (9999999999999999999999,), }\n",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
    b"{'descr': '<i8', 'fortran_order': True, 'shape': (1,), }\n",
    b"(" * 5000,
])
def test_headers_that_claim_other_things_are_refused(header: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.stats", "w") as archive:
        for name, array in to_arrays(collect()).items():
            spoilt = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 8
            archive.writestr(f"{name}.npy", spoilt if name == "counts" else as_npy(array))
    with pytest.raises(StatisticsError, match="an array has another"):
        load_statistics(tmp_path / "net.stats")
