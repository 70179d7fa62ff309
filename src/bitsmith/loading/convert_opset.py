"""Brings a network to the opset that the rest of the house knows. What onnx's own converter gets wrong is done here."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper, version_converter

from bitsmith.errors import LoadError
from bitsmith.loading.negative_sizes import ASIDE
from bitsmith.loading.refuse import first_line
from bitsmith.loading.wiring import all_graphs, all_nodes, say

NORMAL = 21
OLDEST = 6


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the default domain; NORMAL where only other domains are used. Raises LoadError where there are two."""
    found = {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
    if len(found) > 1:
        raise LoadError(f"The file asks for the opsets {sorted(found)} at once; it is damaged.")
    return found.pop() if found else NORMAL


def set_opset(model: onnx.ModelProto, version: int) -> None:
    """One entry for the default domain; of the others, those which a node uses."""
    used = {node.domain for node in all_nodes(model.graph)}
    others = [entry for entry in model.opset_import if entry.domain in used - {"", "ai.onnx"}]
    kept = [helper.make_opsetid("", version), *(helper.make_opsetid(entry.domain, entry.version) for entry in others)]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def to_normal_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network at opset 21, or at the lowest newer one in which all its operators mean the same as in the file.

    Raises LoadError naming the operator that cannot be converted.
    """
    version, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if not OLDEST <= version <= newest:
        remedy = "upgrade the package onnx" if version > newest else "export it again"
        raise LoadError(f"The network uses opset {version}; {OLDEST} to {newest} can be read, so {remedy}.")
    if version >= NORMAL:
        set_opset(model, lowest_equal(model, version))
        return model
    return convert(model, version)


def lowest_equal(model: onnx.ModelProto, version: int) -> int:
    """The lowest opset, from NORMAL on, at which every operator has the definition that it has at this version."""
    kinds = {node.op_type for node in all_nodes(model.graph) if not node.domain}
    return max([NORMAL, *(int(onnx.defs.get_schema(kind, version).since_version) for kind in kinds)])


def convert(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """From an older opset to NORMAL, every name kept: WRITERS' operators by them, all others by onnx's converter."""
    made = {name for node in all_nodes(model.graph) for name in node.output}
    set_opset(model, version)
    set_aside(model, version)
    converted = run_converter(model, version)
    for graph in all_graphs(converted.graph):
        write_aside(graph)
    set_opset(converted, NORMAL)
    if lost := made - {name for node in all_nodes(converted.graph) for name in node.output}:
        raise LoadError(f"Converting opset {version} to {NORMAL} lost the value '{min(lost)}'; export the network with opset 18 or newer.")
    return converted


def set_aside(model: onnx.ModelProto, version: int) -> None:
    """Moves the nodes that onnx's converter gets wrong into a domain that it leaves alone."""
    for node in all_nodes(model.graph):
        if node.domain == "" and node.op_type in WRITERS and version < WRITERS[node.op_type][0]:
            node.domain = ASIDE
        elif node.domain == "" and node.op_type == "Pad" and attribute(node, "mode", b"constant") != b"constant":
            drop(node, "value")         # the converter leaves it where no later Pad knows it
    model.opset_import.append(helper.make_opsetid(ASIDE, 1))


def write_aside(graph: onnx.GraphProto) -> None:
    nodes = list[NodeProto]()
    for node in graph.node:
        nodes.extend(WRITERS[node.op_type][1](graph, node) if node.domain == ASIDE else [node])
    if len(nodes) != len(graph.node) or any(node.domain == ASIDE for node in graph.node):
        del graph.node[:]
        graph.node.extend(nodes)


def run_converter(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    try:
        converted = version_converter.convert_version(model, NORMAL)
    except (version_converter.ConvertError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        kind = re.search(r" for (\w+)", str(error))
        which = next((f" {say(node)}" for node in all_nodes(model.graph) if kind and node.op_type == kind[1]), "")
        message = f"The network's opset {version} cannot be brought to {NORMAL}{':' * bool(which)}{which} ({first_line(error)})."
        raise LoadError(f"{message} Export it with opset 18 or newer.") from error
    del converted.metadata_props[:]
    converted.metadata_props.extend(model.metadata_props)
    return converted


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)


def drop(node: NodeProto, name: str) -> None:
    kept = [found for found in node.attribute if found.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def write_resize(graph: onnx.GraphProto, node: NodeProto) -> list[NodeProto]:
    """Upsample and Resize before opset 11 meant output pixel i to lie at i / scale, and cut the fraction off (towards the next pixel when
    shrinking, as onnxruntime has it); onnx's converter leaves out both and so changes the numbers."""
    if (scales := attribute(node, "scales", None)) is None:
        name = node.input[1]
    else:
        name = f"{node.output[0]}_scales"
        graph.initializer.append(numpy_helper.from_array(np.asarray(scales, np.float32), name))
    known = next((numpy_helper.to_array(held) for held in graph.initializer if held.name == name), np.ones(1))
    if known.min() < 1 < known.max():
        raise LoadError(f"{say(node)} grows one axis and shrinks another, as opset {NORMAL} cannot; export it with opset 11 or newer.")
    return [helper.make_node(
        "Resize", [node.input[0], "", name], list(node.output), name=node.name, mode=attribute(node, "mode", b"nearest"),
        coordinate_transformation_mode="asymmetric", nearest_mode="ceil" if known.min() < 1 else "floor",
    )]


def write_hardmax(graph: onnx.GraphProto, node: NodeProto) -> list[NodeProto]:
    """Before opset 13 Hardmax took the largest of all axes from `axis` on; onnx's converter forgets it."""
    source, result, axis = node.input[0], node.output[0], attribute(node, "axis", 1)
    return [
        helper.make_node("Shape", [source], [f"{result}_shape"], f"{node.name}_shape"),
        helper.make_node("Flatten", [source], [f"{result}_rows"], f"{node.name}_rows", axis=axis),
        helper.make_node("Hardmax", [f"{result}_rows"], [f"{result}_largest"], node.name, axis=-1),
        helper.make_node("Reshape", [f"{result}_largest", f"{result}_shape"], [result], f"{node.name}_back"),
    ]


def refuse_prelu(graph: onnx.GraphProto, node: NodeProto) -> list[NodeProto]:
    raise LoadError(f"{say(node)} of opset 6 has a slope per channel, which onnx's converter forgets; export it with a newer opset.")


# Operator -> the first opset whose definition is the present one, and what writes an older node anew.
WRITERS: dict[str, tuple[int, Callable[[onnx.GraphProto, NodeProto], list[NodeProto]]]] = {
    "Upsample": (10, write_resize),
    "Resize": (11, write_resize),
    "Hardmax": (13, write_hardmax),
    "PRelu": (7, refuse_prelu),
}
