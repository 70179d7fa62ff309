"""Which network is this? A short hash of structure and weights."""

import hashlib

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant


def fingerprint(network: ir.Model) -> str:
    """16 hexadecimal digits over operators, links, attributes and weights; the same for the same network on every machine."""
    digest = hashlib.sha256()
    for value in network.graph.initializers.values():
        array = constant(value)
        digest.update(f"{value.name}".encode())
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.ndim else array.tobytes())
    for node in network.graph:
        links = [v.name if v is not None else None for v in (*node.inputs, *node.outputs)]
        digest.update(f"{node.domain}{node.op_type}{links}{sorted(str(a) for a in node.attributes.values())}".encode())
    return digest.hexdigest()[:16]
