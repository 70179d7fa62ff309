"""Replaces calls of a network's own functions by their bodies."""

from collections.abc import Iterable

import onnx
from onnx import inliner

from bitsmith.errors import LoadError
from bitsmith.loading.convert_opset import opset_of
from bitsmith.loading.wiring import say, subgraphs

MOST = 1_000_000        # nodes after inlining; a few short functions calling each other twice can ask for 2**30

Key = tuple[str, str, str]
Nodes = Iterable[onnx.NodeProto]


def check_calls(model: onnx.ModelProto) -> None:
    """Raises LoadError where functions call themselves or would grow beyond reason."""
    bodies = {(f.domain, f.name, f.overload): f for f in model.functions}
    counts = dict[Key, int]()
    if count_nodes(model.graph.node, bodies, counts, ()) > MOST:
        raise LoadError(f"The network's functions call each other so often that over {MOST} nodes would come out; it is damaged.")


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network without functions of its own. onnx's checker has seen that their operators mean the same in the network's opset."""
    if not model.functions:
        return model
    for function in model.functions:
        for entry in function.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = opset_of(model)     # onnx would leave a function of another opset as it is
    return inliner.inline_local_functions(model)


def count_nodes(nodes: Nodes, bodies: dict[Key, onnx.FunctionProto], counts: dict[Key, int], callers: tuple[Key, ...]) -> int:
    """How many nodes stand there once all calls are replaced; `counts` remembers that of each function."""
    total = 0
    for node in nodes:
        key = (node.domain, node.op_type, node.overload)
        total += 1 + sum(count_nodes(graph.node, bodies, counts, callers) for graph in subgraphs(node))
        if key not in bodies:
            continue
        if key in callers:
            raise LoadError(f"{say(node)} is a function that calls itself; such a network has no end.")
        if key not in counts:
            counts[key] = count_nodes(bodies[key].node, bodies, counts, (*callers, key))
        total += counts[key]
    return total
