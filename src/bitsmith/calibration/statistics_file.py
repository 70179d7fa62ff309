"""The file `net.stats`: an .npz archive of plain arrays, not compressed. Same statistics, same bytes; nothing in it is unpickled.

    about      uint8    JSON: what this is, which network it is of, the names of the values in order
    bins       uint16   [all bins]         occupied bins of every value, one value after the other, ascending
    counts     int64    [all bins]         how many numbers each holds
    occupied   int64    [values]           how many bins each value has
    totals     int64    [values, 4, 20]    and the rest of each record (see counting.Record)
    extremes   float32  [values, 2]
    tallies    int64    [values, 4]
    channels   float32  [2, all channels]  ranges of channels, where they were kept
    widths     int64    [values]           how many channels each value has; -1 where they were not kept
"""

import io
import json
import math
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from bitsmith.calibration.collection import Collection
from bitsmith.calibration.counting import BINS, Record
from bitsmith.calibration.exact import LIMBS
from bitsmith.calibration.soundness import check_record
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.files import write_atomically
from bitsmith.numerics.formats import Array

KIND = "bitsmith statistics"
VERSION = 1
MOST_VALUES = 2**16
TYPES = {"about": "|u1", "bins": "<u2", "counts": "<i8", "occupied": "<i8", "totals": "<i8", "extremes": "<f4", "tallies": "<i8",
         "channels": "<f4", "widths": "<i8"}
HEADER = re.compile(rb"\{'descr': '([<|][a-z]\d)', 'fortran_order': False, 'shape': \(((?:\d{1,15}(?:, |,)?)*)\), \} *\n")
DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error, ValueError, OverflowError, KeyError)


def save_statistics(collection: Collection, path: Path) -> None:
    """Write beside and rename. Values are sorted by name, so that the order in which parts were merged leaves no trace.

    Raises BitsmithError where the file cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in to_arrays(collection).items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), as_npy(array.astype(TYPES[name])))
    write_atomically(path, content.getvalue())


def as_npy(array: Array) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return content.getvalue()


def to_arrays(collection: Collection) -> dict[str, Array]:
    names = sorted(collection)
    all_statistics = [collection[name] for name in names]
    records = [statistics.record for statistics in all_statistics]
    bins = [np.flatnonzero(record.counts != 0) for record in records]
    channels = [statistics.channels for statistics in all_statistics]
    about = {"kind": KIND, "version": VERSION, "network": collection.network, "values": names}
    return {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "bins": np.concatenate([*bins, np.zeros(0, np.int64)]),
        "counts": np.concatenate([*(r.counts[b] for r, b in zip(records, bins, strict=True)), np.zeros(0, np.int64)]),
        "occupied": np.array([b.size for b in bins], np.int64),
        "totals": np.array([r.totals for r in records], np.int64).reshape(-1, 4, LIMBS),
        "extremes": np.array([r.extremes for r in records], np.float32).reshape(-1, 2),
        "tallies": np.array([r.tallies for r in records], np.int64).reshape(-1, 4),
        "channels": np.concatenate([np.zeros((2, 0), np.float32), *(c for c in channels if c is not None)], axis=1),
        "widths": np.array([-1 if c is None else c.shape[1] for c in channels], np.int64),
    }


def load_statistics(path: Path, network: str = "") -> Collection:
    """The statistics in a file. Raises StatisticsError where it is none, is damaged, or is of another network than the one named."""
    try:
        arrays = read_arrays(path)
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
        if sorted(entries) != sorted(f"{name}.npy" for name in TYPES) or len(entries) != len(archive.infolist()):
            raise ValueError("it holds other things")
        if any(e.compress_type != zipfile.ZIP_STORED or not e.compress_size == e.file_size <= size for e in entries.values()):
            raise ValueError("its entries have impossible sizes")
        return {name: from_npy(archive.read(f"{name}.npy"), dtype) for name, dtype in TYPES.items()}


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
    names = about["values"]
    sizes, widths = arrays["occupied"], arrays["widths"]
    bin_ends, channel_ends = ends(sizes, len(names), arrays["bins"]), ends(np.maximum(widths, 0), len(names), arrays["channels"].T)
    shapes = {"counts": arrays["bins"].shape, "totals": (len(names), 4, LIMBS), "extremes": (len(names), 2), "tallies": (len(names), 4)}
    if any(arrays[name].shape != shape for name, shape in shapes.items()) or arrays["channels"].shape[0] != 2:
        raise ValueError("its arrays do not fit each other")
    if np.isnan(arrays["channels"]).any():
        raise ValueError("its channels hold NaN")
    found = {}
    for i, name in enumerate(names):
        counts = spread(*(arrays[key][bin_ends[i]:bin_ends[i + 1]] for key in ("bins", "counts")))
        record = Record(counts, *(arrays[key][i].copy() for key in ("totals", "extremes", "tallies")))
        channels = arrays["channels"][:, channel_ends[i]:channel_ends[i + 1]].copy() if widths[i] >= 0 else None
        found[name] = Statistics(widths[i] >= 0, channels, check_record(record, name))
    return Collection(found, about["network"])


def read_about(content: Array) -> dict[str, Any]:
    try:
        about = json.loads(content.tobytes())
    except RecursionError:
        raise ValueError("it does not say what it is") from None
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise ValueError("it does not say that it holds statistics")
    if about.get("version") != VERSION:
        raise ValueError(f"it has version {about.get('version')} and this bitsmith reads {VERSION}")
    if not isinstance(about.get("network"), str) or not are_names(about.get("values")):
        raise ValueError("it does not say what it is of")
    return about


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
    histogram = np.zeros(BINS, np.int64)
    histogram[bins] = counts
    return histogram
