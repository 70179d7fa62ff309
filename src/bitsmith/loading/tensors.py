"""Reads one weight out of a file, and refuses those whose size, place or numbers are not what they should be."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from bitsmith.errors import LoadError
from bitsmith.loading.refuse import refuse
from bitsmith.numerics.formats import Array

CHUNK = 2**20       # numbers looked at in one go

# Operators for which an infinite constant has a meaning: masks and limits.
MASKING = {"Add", "Cast", "Clip", "Concat", "Equal", "Expand", "Gather", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min",
           "Pad", "Reshape", "ScatterND", "Slice", "Sub", "Tile", "Trilu", "Unsqueeze", "Where"}


def read_tensor(proto: onnx.TensorProto, folder: Path | None) -> ir.TensorProtocol:
    """The tensor, its header checked against its bytes: in memory, or memory-mapped when it lies outside the file.

    `folder` is where external data may lie; None where nobody knows. Raises LoadError naming the tensor.
    """
    with refuse(f"Weight '{proto.name}' is ill"):
        check_header(proto, f"Weight '{proto.name}'")
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            return place(proto, folder)
        return settle(ir.from_proto(proto))


def settle(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """A tensor over an array of its own. One over a protobuf message would copy its bytes at each look."""
    if tensor.dtype == ir.DataType.STRING or not isinstance(tensor, ir.TensorProtoTensor):
        return tensor
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string)


def check_header(proto: onnx.TensorProto, whose: str) -> None:
    """Dimensions are counts, and make as many bytes as there are. Raises LoadError naming the weight or node `whose` it is."""
    dims = list(proto.dims)
    if min(dims, default=0) < 0:
        raise LoadError(f"{whose} has the shape {dims}; no dimension can be negative.")
    if not proto.HasField("raw_data") or proto.data_location == onnx.TensorProto.EXTERNAL:
        return
    needed, there = byte_count(dims, ir.DataType(proto.data_type)), len(proto.raw_data)
    if needed != there:
        raise LoadError(f"{whose} of shape {dims} needs {needed} bytes and has {there}; the file is damaged.")


def byte_count(dims: list[int], dtype: ir.DataType) -> int:
    return -(-math.prod(dims) * dtype.bitwidth // 8)


def place(proto: onnx.TensorProto, folder: Path | None) -> ir.ExternalTensor:
    """A tensor beside the file, once its place is known to lie in the folder and to be long enough. Raises LoadError."""
    said = {entry.key: entry.value for entry in proto.external_data}
    location, start = said.get("location", ""), int(said.get("offset", 0))
    if folder is None:
        raise LoadError(f"Weight '{proto.name}' lies in '{location}' beside the file; give the file's path, not its content.")
    home = folder.resolve()
    path = (home / location).resolve()
    if Path(location).is_absolute() or not path.is_relative_to(home):
        raise LoadError(f"Weight '{proto.name}' points to '{location}', outside the network's folder; that is not followed.")
    if not path.is_file():
        raise LoadError(f"Weight '{proto.name}' lies in '{location}', and there is no such file in '{folder}'.")
    if path.stat().st_nlink > 1:
        raise LoadError(f"Weight '{proto.name}' lies in '{path}', which has a second hard link; make a copy for the network alone.")
    dims, dtype = list(proto.dims), ir.DataType(proto.data_type)
    needed, there = byte_count(dims, dtype), path.stat().st_size - start
    length = int(said.get("length", needed))
    if start < 0 or there < needed or length != needed:
        found = f"finds {min(there, length)} at {start}"
        raise LoadError(f"Weight '{proto.name}' of shape {dims} needs {needed} bytes of '{location}' and {found}; the file is damaged.")
    return ir.ExternalTensor(location, start, needed, dtype, shape=ir.Shape(dims), name=proto.name, base_dir=home)


def check_numbers(value: ir.Value) -> None:
    """A weight holds no NaN, and no infinity unless it is only a mask or a limit. Raises LoadError naming it."""
    tensor = value.const_value
    if tensor is None or not tensor.dtype.is_floating_point():
        return
    masks = all(node.op_type in MASKING for node in value.consumers()) and (tensor.shape.rank() != 1 or tensor.size == 1)
    for chunk in chunks(tensor):
        if not np.isfinite(chunk).all() and not (masks and not np.isnan(chunk).any()):
            nan, infinite = int(np.isnan(chunk).sum()), int(np.isinf(chunk).sum())
            raise LoadError(f"Weight '{value.name}' holds {nan} NaN and {infinite} infinite numbers; train or export the network again.")


def chunks(tensor: ir.TensorProtocol) -> Iterator[Array]:
    """The numbers of a weight in parts, each valid until the next. One on disk is read into one buffer: a map's pages would pile up."""
    if not isinstance(tensor, ir.ExternalTensor) or tensor.dtype.itemsize < 1:
        flat = tensor.numpy().reshape(-1)
        yield from (flat[start:start + CHUNK] for start in range(0, flat.size, CHUNK))
        return
    buffer = np.empty(min(CHUNK, tensor.size), tensor.dtype.numpy())
    with open(tensor.path, "rb", buffering=0) as file:
        file.seek(tensor.offset or 0)
        for start in range(0, tensor.size, CHUNK):
            part = buffer[:tensor.size - start]
            if file.readinto(part.view(np.uint8).data) != part.nbytes:
                raise LoadError(f"Weight '{tensor.name}' ends early: '{tensor.location}' changed while it was read.")
            yield part
