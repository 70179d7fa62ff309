"""The door out: a network to an .onnx file, whole or not at all."""

from pathlib import Path

import onnx_ir as ir

from bitsmith.errors import BitsmithError
from bitsmith.files import write_atomically, written_beside

LARGEST_SINGLE_FILE = 2**31 - 2**24         # protobuf ends at 2 GiB


def save(network: ir.Model, path: Path) -> list[Path]:
    """Write a network, over 2 GB with its weights beside it in `<name>.data`. Returns the files written."""
    if path.suffix != ".onnx":
        raise BitsmithError(f"ONNX files end in .onnx, '{path}' does not; choose another output with -o.")
    size = sum(v.const_value.nbytes for v in network.graph.initializers.values() if v.const_value is not None)
    if size < LARGEST_SINGLE_FILE:
        write_atomically(path, ir.to_proto(network).SerializeToString(deterministic=True))
        return [path]
    data = path.with_name(path.name + ".data")
    with written_beside(data) as beside:
        large = ir.external_data.unload_from_model(network, path.parent, beside.name)
        for value in large.graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = rename_data(value.const_value, data.name)
        content = ir.to_proto(large).SerializeToString(deterministic=True)
    write_atomically(path, content)
    return [path, data]


def rename_data(tensor: ir.ExternalTensor, name: str) -> ir.ExternalTensor:
    """The same place in a file of another name."""
    place = (tensor.offset, tensor.length, tensor.dtype)
    return ir.ExternalTensor(name, *place, shape=tensor.shape, name=tensor.name, base_dir=tensor.base_dir)
