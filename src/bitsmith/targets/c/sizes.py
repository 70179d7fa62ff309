"""Sizes that C needs to know beforehand."""

import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.graph import activations
from bitsmith.targets.c.stored import Sizes


def input_sizes(network: ir.Model) -> dict[str, Sizes]:
    """The shape of each input without the batch. Raises TargetError for lengths that are not known: memory must be."""
    found = {}
    for value in activations(network.graph):
        if not value.is_graph_input():
            break
        shape = [] if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
        if not shape or None in shape[1:]:
            raise TargetError(f"Input '{value.name}' has shape {value.shape}: C needs every length behind the batch to be a number. "
                              "Export the network with fixed sizes.")
        found[value.name or ""] = tuple(d for d in shape[1:] if d is not None)
    return found
