"""Array files: read part by part with memory that does not grow, and refused where header and content disagree."""

import io
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitsmith.errors import DataError
from bitsmith.loading.arrays import Held, Lazy, Mapped, Packed, open_npy, open_npz
from bitsmith.loading.data import open_data
from bitsmith.loading.from_onnx import load

NETWORK = load(networks.conv_bn_relu())
ARRAY = np.random.default_rng(0).normal(size=(11, 3, 2)).astype(np.float32)


def stored(folder: Path, kind: str, array: np.ndarray = ARRAY) -> Lazy:
    if kind == "held":
        return Held(array)
    path = folder / f"{kind}.{'npy' if 'npy' in kind else 'npz'}"
    if "npy" in kind:
        np.save(path, np.asfortranarray(array) if "columns" in kind else array)
        return open_npy(path)
    save = np.savez_compressed if kind == "packed" else np.savez
    save(path, before=np.arange(5, dtype=np.uint8), a=np.asfortranarray(array) if "columns" in kind else array)
    return open_npz(path)["a"]


KINDS = ["held", "npy", "npy columns", "npz", "npz columns", "packed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 4, 11, 100])
@pytest.mark.parametrize("step", [1, 2, 3, 50])
def test_parts_are_slices(tmp_path: Path, kind: str, size: int, step: int) -> None:
    array = stored(tmp_path, kind)
    assert (array.shape, array.dtype) == (ARRAY.shape, ARRAY.dtype)
    parts = list(array.parts(size, step))
    np.testing.assert_array_equal(np.concatenate(parts), ARRAY[::step])
    assert all(len(part) == size for part in parts[:-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (4,)])
@pytest.mark.parametrize("dtype", ["uint8", "float64", "bool", ">f4"])
def test_odd_shapes_and_types(tmp_path: Path, kind: str, shape: tuple[int, ...], dtype: str) -> None:
    array = np.ones(shape, dtype)
    parts = list(stored(tmp_path, kind, array).parts(2))
    assert sum(len(part) for part in parts) == shape[0]
    assert all(np.array_equal(part, array[:len(part)]) for part in parts)


def test_kinds_of_storage(tmp_path: Path) -> None:
    assert isinstance(stored(tmp_path, "npz"), Mapped)
    assert isinstance(stored(tmp_path, "packed"), Packed)


MEASURE = '''
import re, sys
from pathlib import Path
import numpy as np
import onnx_ir as ir
from bitsmith.loading.data import open_data
value = ir.Value(name="x", shape=ir.Shape(["n", 3, 64, 64]), type=ir.TensorType(ir.DataType.FLOAT))
total = sum(float(batch["x"].sum()) for batch in open_data(sys.argv[1], [value]).batches(32))
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1], total)
'''


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_memory_is_the_same_for_few_and_many_samples(tmp_path: Path, save: Callable[..., None]) -> None:
    """100 and 4,000 images of 12 kB: 48 MB more to read, and not 8 MB more of memory."""
    peaks = []
    for count in (100, 4000):
        path = tmp_path / f"{count}.{'npy' if save is np.save else 'npz'}"
        save(path, np.ones((count, 3, 64, 64), np.uint8))
        run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
        peak, total = run.stdout.split()
        assert float(total) == count * 3 * 64 * 64
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 8000


def header(shape: str, descr: str = "'<f4'", columns: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {columns}, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(path: Path, content: bytes, *, method: int = zipfile.ZIP_STORED, name: str = "x.npy") -> None:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, content)


@pytest.mark.parametrize("method", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(("content", "message"), [
    (header("(1000000000000, 3)") + bytes(24), r"needs 12000000000000 bytes and has 24; the file is damaged"),
    (header("(2, 3)") + bytes(23), "needs 24 bytes and has 23"),
    (header("(2, -3)"), "has the shape"),
    (header("()") + bytes(4), "it needs a first axis, of samples"),
    (header("(2, 3)", "'|O'") + pickle.dumps([1]), "nothing is unpickled"),
    (header("(2,)", "[('a', '<f4')]") + bytes(8), "not plain numbers"),
    (header("(2,)", "'nonsense'") + bytes(8), "damaged or cannot be read"),
    (header("(2,")[:50], "damaged or cannot be read"),
    (b"\x93NUMPY\x09\x00" + bytes(50), r"version \(9, 0\)"),
    (b"not an array", "damaged or cannot be read"),
    (b"", "damaged or cannot be read"),
])
def test_ill_headers(tmp_path: Path, method: int | None, content: bytes, message: str) -> None:
    path = tmp_path / ("x.npy" if method is None else "x.npz")
    if method is None:
        path.write_bytes(content)
    else:
        archive(path, content, method=method)
    with pytest.raises(DataError, match=message) as caught:
        open_npy(path) if method is None else open_npz(path)
    assert str(caught.value).isprintable()


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """The directory claims a terabyte in a few bytes."""
    path = tmp_path / "bomb.npz"
    archive(path, header("(250000000000,)") + bytes(1000), method=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24        # uncompressed size, in the central directory
    data[at:at + 4] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(data)
    with pytest.raises(DataError, match="which is impossible"):
        open_npz(path)


def test_samples_larger_than_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        file.write(start := header("(1, 3000000000)", "'|u1'"))
        file.truncate(len(start) + 3_000_000_000)
    with pytest.raises(DataError, match="samples of 3000000000 bytes each"):
        open_npy(path)


def test_packed_columns_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.asfortranarray(ARRAY))
    with pytest.raises(DataError, match=r"column by column.*ascontiguousarray"):
        open_npz(tmp_path / "x.npz")


@pytest.mark.parametrize(("name", "write", "message"), [
    ("x.npz", lambda path: archive(path, b"", name="readme.txt"), "holds no arrays"),
    ("x.npz", lambda path: archive(path, header("(1,)") + bytes(4), name="x\n.npy"), r"Array 'x\\n' of .* unprintable name"),
    ("x.npz", lambda path: path.write_bytes(b"PK\x03\x04 and so on"), "damaged or cannot be read"),
    ("x.npz", lambda path: path.write_bytes(b""), "damaged or cannot be read"),
    ("x.npz", lambda path: None, "There is no file"),
    ("x.csv", lambda path: path.write_text("1,2"), "neither .npz nor .npy nor a folder"),
])
def test_files_that_are_no_arrays(tmp_path: Path, name: str, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=message):
        open_data(tmp_path / name, NETWORK)


def test_a_checksum_that_differs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 3, 8, 8)).astype(np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged|holds"):
        list(open_data(path, NETWORK))


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3, 8, 8), np.float32))
    batches = open_data(path, NETWORK).batches(10)
    next(batches)
    with path.open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(DataError, match="damaged or cannot be read"):
        list(batches)


def packed(save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, x=np.zeros((3, 3, 8, 8), np.float32), y=np.arange(3))
    return buffer.getvalue()


SOUND = [packed(np.savez), packed(np.savez_compressed)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SOUND), st.data())
def test_flipped_and_missing_bytes(tmp_path: Path, sound: bytes, data: st.DataObject) -> None:
    content = bytearray(sound)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    (tmp_path / "x.npz").write_bytes(content[:data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content)
    said = ""
    try:
        for arrays, _ in open_data(tmp_path / "x.npz", NETWORK).labelled():
            assert np.isfinite(arrays["input"]).all()
    except DataError as error:
        said = str(error)
    assert said.isprintable(), repr(said)
