"""The file `net.stats`: an .npz archive of plain arrays, not compressed. Same statistics, same bytes; nothing in it is unpickled.

    about      uint8    JSON: what this is, which network it is of, the names of the values in order, and, where statistics per channel were
                        kept, {"channels": {name: [axis, channels]}}
    bins       uint16   [all bins]         occupied bins of every record, one record after the other, ascending
    counts     int64    [all bins]         how many numbers each holds
    occupied   int64    [records]          how many bins each record has
    totals     int64    [records, 4, 20]   and the rest of each record (see counting.Record)
    extremes   float32  [records, 2]
    tallies    int64    [records, 4]
    latest     float32  [all kept, 2]      extremes of the latest samples of every record, one record after the other (see latest.Latest)
    places     int64    [records, 2]       the position after the last of each record's, and how many are kept; -1 where they are not known

First come the records of values in the order of their names, then those of channels in the order of the names in "channels".
Version 2 had no `latest` and `places`. Version 1 had no channels either, and two arrays more (`channels`, `widths`) that nobody filled.
"""

import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bitsmith.calibration.channels import MOST_CHANNELS, Channels
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.counting import Record, empty_counts
from bitsmith.calibration.exact import LIMBS
from bitsmith.calibration.latest import Latest
from bitsmith.calibration.soundness import check_statistics
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.files import write_atomically
from bitsmith.numerics.formats import Array

KIND = "bitsmith statistics"
VERSION = 3
MOST_VALUES = 2**16
TYPES = {"about": "|u1", "bins": "<u2", "counts": "<i8", "occupied": "<i8", "totals": "<i8", "extremes": "<f4", "tallies": "<i8",
         "latest": "<f4", "places": "<i8"}
OF_VERSION_1 = ("channels", "widths")
OF_VERSION_3 = ("latest", "places")
HEADER = re.compile(rb"\{'descr': '([<|][a-z]\d)', 'fortran_order': False, 'shape': \(((?:\d{1,15}(?:, |,)?)*)\), \} *\n")
DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error, ValueError, OverflowError, KeyError)


def save_statistics(collection: Collection, path: str | Path) -> None:
    """Write beside and rename. Values are sorted by name, so that the order in which parts were merged leaves no trace.

    Raises BitsmithError where the file cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in to_arrays(collection).items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), as_npy(array.astype(TYPES[name])))
    write_atomically(Path(path), content.getvalue())


def as_npy(array: Array) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return content.getvalue()


def to_arrays(collection: Collection) -> dict[str, Array]:
    names = sorted(collection)
    channels = {name: found for name, found in sorted(collection.channels.items()) if name in collection}
    everything = [*(collection[name] for name in names), *(part for found in channels.values() for part in found)]
    records, latest = [found.record for found in everything], [found.latest for found in everything]
    bins = [np.flatnonzero(record.counts != 0) for record in records]
    about = {"kind": KIND, "version": VERSION, "network": collection.network, "values": names,
             "channels": {name: [found.axis, len(found)] for name, found in channels.items()}}
    return {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "bins": np.concatenate([*bins, np.zeros(0, np.int64)]),
        "counts": np.concatenate([*(r.counts[b] for r, b in zip(records, bins, strict=True)), np.zeros(0, np.int64)]),
        "occupied": np.array([b.size for b in bins], np.int64),
        "totals": np.array([r.totals for r in records], np.int64).reshape(-1, 4, LIMBS),
        "extremes": np.array([r.extremes for r in records], np.float32).reshape(-1, 2),
        "tallies": np.array([r.tallies for r in records], np.int64).reshape(-1, 4),
        "latest": np.concatenate([*(kept.ends for kept in latest if kept), np.zeros((0, 2), np.float32)]),
        "places": np.array([(kept.end, len(kept.ends)) if kept else (0, -1) for kept in latest], np.int64).reshape(-1, 2),
    }


def load_statistics(path: str | Path, network: str = "") -> Collection:
    """The statistics in a file. Raises StatisticsError where it is none, is damaged, or is of another network than the one named."""
    try:
        arrays = read_arrays(Path(path))
        collection = from_arrays(arrays)
    except FileNotFoundError:
        raise StatisticsError(f"There is no file '{path}'; make it with `bitsmith calibrate`.") from None
    except OSError as problem:
        raise StatisticsError(f"'{path}' cannot be read: {problem.strerror or problem}.") from problem
    except DAMAGED as problem:
        raise StatisticsError(f"'{path}' is no sound file of statistics ({problem}); make it again with `bitsmith calibrate`.") from problem
    collection.check_network(network)
    return collection


def read_arrays(path: Path) -> dict[str, Array]:
    """Every array, of its own type. What an entry claims is compared with what is there before memory is taken for it."""
    with zipfile.ZipFile(path) as archive:
        size = path.stat().st_size
        entries = {entry.filename: entry for entry in archive.infolist()}
        wanted = {f"{name}.npy" for name in TYPES}
        older = {f"{name}.npy" for name in OF_VERSION_3}
        if set(entries) - {f"{name}.npy" for name in OF_VERSION_1} | older != wanted or len(entries) != len(archive.infolist()):
            raise ValueError("it holds other things")
        if any(e.compress_type != zipfile.ZIP_STORED or not e.compress_size == e.file_size <= size for e in entries.values()):
            raise ValueError("its entries have impossible sizes")
        return {name: from_npy(archive.read(f"{name}.npy"), dtype) for name, dtype in TYPES.items() if f"{name}.npy" in entries}


def from_npy(content: bytes, dtype: str) -> Array:
    """The array of an .npy entry as `as_npy` writes it; ValueError for any other."""
    end = 10 + int.from_bytes(content[8:10], "little")
    found = HEADER.fullmatch(content[10:end])
    if content[:8] != b"\x93NUMPY\x01\x00" or not found or found[1] != dtype.encode():
        raise ValueError("an array has another type")
    shape = tuple(int(digits) for digits in re.findall(rb"\d+", found[2]))
    if math.prod(shape) * np.dtype(dtype).itemsize != len(content) - end:
        raise ValueError("an array has another size")
    return np.frombuffer(content, dtype, offset=end).reshape(shape).astype(dtype[1:])


def from_arrays(arrays: dict[str, Array]) -> Collection:
    about = read_about(arrays["about"])
    names, along = about["values"], about["channels"]
    labels = [*names, *(f"{name}, channel {i}" for name, (_, count) in along.items() for i in range(count))]
    if {name for name in OF_VERSION_3 if name in arrays} != (set() if about["version"] < 3 else set(OF_VERSION_3)):
        raise ValueError("it does not hold what its version has")
    read = zip(read_records(arrays, len(labels)), read_latest(arrays, len(labels)), labels, strict=True)
    parts = iter([check_statistics(Statistics(record, latest), label) for record, latest, label in read])
    found = {name: next(parts) for name in names}
    channels = {name: Channels(axis, tuple(islice(parts, count))) for name, (axis, count) in along.items()}
    return Collection(found, about["network"], channels)


def read_records(arrays: dict[str, Array], count: int) -> Iterator[Record]:
    """So many. Raises ValueError where the arrays hold another number."""
    starts = ends(arrays["occupied"], count, arrays["bins"])
    shapes = {"counts": arrays["bins"].shape, "totals": (count, 4, LIMBS), "extremes": (count, 2), "tallies": (count, 4)}
    if any(arrays[name].shape != shape for name, shape in shapes.items()):
        raise ValueError("its arrays do not fit each other")
    for i in range(count):
        counts = spread(*(arrays[key][starts[i]:starts[i + 1]] for key in ("bins", "counts")))
        yield Record(counts, *(arrays[key][i].copy() for key in ("totals", "extremes", "tallies")))


def read_latest(arrays: dict[str, Array], count: int) -> Iterator[Latest | None]:
    """So many; none known before version 3."""
    if "places" not in arrays:
        yield from [None] * count
        return
    places, kept = arrays["places"], arrays["latest"]
    if places.shape != (count, 2) or kept.shape[1:] != (2,):
        raise ValueError("its arrays do not fit each other")
    starts = ends(np.maximum(places[:, 1], 0), count, kept)
    for i in range(count):
        end, length = places[i].tolist()
        yield None if (end, length) == (0, -1) else Latest(end, kept[starts[i]:starts[i] + length].copy())


def read_about(content: Array) -> dict[str, Any]:
    try:
        about = json.loads(content.tobytes())
    except RecursionError:
        raise ValueError("it does not say what it is") from None
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise ValueError("it does not say that it holds statistics")
    if about.get("version") not in range(1, VERSION + 1):
        raise ValueError(f"it has version {about.get('version')} and this bitsmith reads up to {VERSION}")
    about = {"channels": {}, **about}
    sound = isinstance(about.get("network"), str) and are_names(about.get("values")) and are_channels(about["channels"], about["values"])
    if not sound:
        raise ValueError("it does not say what it is of")
    return about


def are_channels(channels: object, values: list[str]) -> bool:
    """{name of a value: [axis, channels]}, not of more channels than are ever counted."""
    if not isinstance(channels, dict) or not set(channels) <= set(values):
        return False
    pairs = list(channels.values())
    if not all(isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n > 0 for n in pair) for pair in pairs):
        return False
    return bool(sum(count for _, count in pairs) <= MOST_CHANNELS)


def are_names(names: object) -> bool:
    """A list of different texts, not of more values than a network can have."""
    if not isinstance(names, list) or len(names) > MOST_VALUES or not all(isinstance(name, str) for name in names):
        return False
    "".join(names).encode()         # half a surrogate pair raises ValueError
    return len(set(names)) == len(names)


def ends(sizes: Array, values: int, array: Array) -> list[int]:
    """Where the part of each value starts, and where the last one ends."""
    found = [0, *np.cumsum(sizes, dtype=object)]
    if sizes.shape != (values,) or (sizes < 0).any() or array.ndim not in (1, 2) or found[-1] != len(array):
        raise ValueError("its arrays do not fit each other")
    return found


def spread(bins: Array, counts: Array) -> Array:
    """Occupied bins as the whole histogram."""
    if (np.diff(bins.astype(np.int64)) <= 0).any() or (counts <= 0).any():
        raise ValueError("its histograms are not in order")
    histogram = empty_counts()
    histogram[bins] = counts
    return histogram
