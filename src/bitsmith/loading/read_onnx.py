"""Reads an ONNX file, and knows by their first bytes the other files that people mistake for one."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bitsmith.errors import LoadError

LONGEST = 2**31 - 1     # bytes; protobuf cannot hold more
ASK_TORCH = "export it with torch.onnx.export, or pass the module and example inputs in Python (nothing is unpickled here)"
TEXTS = {".onnxtxt", ".textproto", ".onnxjson", ".json", ".pbtxt", ".prototxt"}


def read_file(path: Path) -> onnx.ModelProto:
    """The model in a file, its external weights not yet read. Raises LoadError."""
    if path.is_dir():
        raise LoadError(f"'{path}' is a folder; give the .onnx file inside it.")
    try:
        size = path.stat().st_size
        if size > LONGEST:
            raise LoadError(f"'{path}' has {size} bytes and ONNX files end at 2 GB; save the weights beside it as external data.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise LoadError(f"There is no file '{path}'.") from None
    except (OSError, ValueError) as error:
        raise LoadError(f"'{path}' cannot be read: {error}.") from error
    return parse(data, f"'{path}'")


def files_of(path: Path) -> list[Path]:
    """The file of a network, and the files beside it that hold weights of it. Raises LoadError."""
    said = (entry for tensor in read_file(path).graph.initializer for entry in tensor.external_data if entry.key == "location")
    beside = dict.fromkeys(path.parent / entry.value for entry in said)
    return [path, *(file for file in beside if file.is_file())]


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """The model in the bytes of a file; `name` is what a message calls it. Raises LoadError."""
    if not data:
        raise LoadError(f"{name} is empty.")
    if mistaken := kind_of(data, name):
        raise LoadError(f"{name} is {mistaken}.")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise LoadError(f"{name} is not an ONNX file, or is cut off: protobuf cannot read its {len(data)} bytes.") from None
    if not model.HasField("graph") or not model.ir_version:
        raise LoadError(f"{name} is not an ONNX file: it holds no graph.")
    return model


def kind_of(data: bytes, name: str) -> str | None:
    """What the bytes are, where they are plainly something other than ONNX."""
    suffix = Path(name.strip("'")).suffix.lower()
    if data[:2] == b"\x80\x02" or (data[:4] == b"PK\x03\x04" and (b"data.pkl" in data[:4096] or suffix in {".pt", ".pth", ".pt2"})):
        return f"a PyTorch pickle, not ONNX; {ASK_TORCH}"
    if data[:4] == b"PK\x03\x04" or data[:6] == b"\x93NUMPY":
        return "an archive or an array, not ONNX; data are given with --data, the network comes first"
    if data[:4] == b"\x89HDF":
        return "an HDF5 file (Keras), not ONNX; export it with tf2onnx"
    if data[4:8] in (b"TFL3", b"ORTM"):
        return "a TFLite or ORT flatbuffer, not ONNX; give the ONNX file that it was made from"
    if suffix in TEXTS:
        return "text; save it in ONNX's binary form with onnx.save"
    return None
