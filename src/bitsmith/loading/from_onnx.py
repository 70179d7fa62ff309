"""The door in: any ONNX network becomes an onnx_ir.Model in normal form.

Normal form: one opset (21, or the lowest newer one that means the same), no functions, constants as initializers, initializers
not among the inputs, shapes inferred, nodes sorted and each with a name of its own, nothing unused. Inputs, outputs, weights and
nodes keep the user's names.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import onnx
import onnx_ir as ir
from onnx.helper import find_min_ir_version_for
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from bitsmith.errors import LoadError
from bitsmith.loading.convert_opset import to_normal_opset
from bitsmith.loading.inline import check_calls, inline_functions
from bitsmith.loading.negative_sizes import forget_negative_sizes
from bitsmith.loading.read_onnx import parse, read_file
from bitsmith.loading.refuse import refuse
from bitsmith.loading.shapes import check_convolutions, check_model, infer_shapes
from bitsmith.loading.skeleton import Tensors, put_back, take_apart, take_apart_graph
from bitsmith.loading.tensors import check_header, check_numbers, settle
from bitsmith.loading.wiring import all_nodes, check_wiring, name_nodes, say

if TYPE_CHECKING:
    import torch

Source = Union[str, "os.PathLike[str]", bytes, onnx.ModelProto, ir.Model, "torch.nn.Module"]
LATEST_IR = 10      # of the file format; opset 21 needs no newer one, and older runtimes refuse what they do not know


def load(source: Source, example_inputs: Sequence[Any] | Mapping[str, Any] | None = None) -> ir.Model:
    """The network in normal form. External weights stay on disk, memory-mapped.

    source           path of an .onnx file, its bytes, an onnx.ModelProto, an onnx_ir.Model (both left as they are), or a torch.nn.Module
    example_inputs   what a torch.nn.Module is traced with: its arguments, their first axis being samples

    Raises LoadError, saying what is wrong with which part of the network, for anything that cannot be read completely.
    """
    if not isinstance(source, str | os.PathLike | bytes | onnx.ModelProto | ir.Model):
        return load_module(source, example_inputs)
    if example_inputs is not None:
        raise LoadError("Example inputs belong to a torch.nn.Module; an ONNX network knows its own.")
    name = f"'{os.fspath(source)}'" if isinstance(source, str | os.PathLike) else "The network"
    with refuse(f"{name} is not a sound ONNX network"):
        skeleton, tensors = open_source(source)
        return put_together(normalize(skeleton), tensors)


def load_module(source: Any, example_inputs: Any) -> ir.Model:
    if "torch" not in sys.modules:      # then it cannot be a module of it, and importing torch to find out takes seconds
        raise LoadError(f"A network is a path, bytes, an ONNX model or a torch.nn.Module, not a {type(source).__name__}.")
    from bitsmith.loading.from_torch import from_torch

    return from_torch(source, example_inputs)


def open_source(source: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model) -> tuple[onnx.ModelProto, Tensors]:
    """A copy without large weights, and the weights."""
    if isinstance(source, ir.Model):
        return take_apart_graph(source)
    if isinstance(source, bytes):
        return take_apart(parse(source, "The network"), None)
    if isinstance(source, onnx.ModelProto):
        return take_apart(source, None)
    path = Path(source)
    return take_apart(read_file(path), path.parent)


def normalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Everything that needs no weights. Changes the model."""
    if model.ir_version > onnx.IR_VERSION:
        raise LoadError(f"The file's format has version {model.ir_version} and the package onnx knows {onnx.IR_VERSION}; upgrade onnx.")
    model.ir_version = max(model.ir_version, LATEST_IR)
    for node in all_nodes(model.graph):
        node.domain = "" if node.domain == "ai.onnx" else node.domain
    check_wiring(model.graph)
    check_constants(model)
    forget_negative_sizes(model)
    check_calls(model)
    check_model(model)
    model = inline_functions(model)
    name_nodes(model.graph)
    model = to_normal_opset(infer_shapes(model))
    name_nodes(model.graph)
    model.ir_version = max(LATEST_IR, find_min_ir_version_for(list(model.opset_import), ignore_unknown=True))
    return infer_shapes(model)


def check_constants(model: onnx.ModelProto) -> None:
    """Tensors inside nodes have sound headers."""
    for node in [*all_nodes(model.graph), *(node for function in model.functions for node in function.node)]:
        for attribute in node.attribute:
            for tensor in [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]:
                check_header(tensor, say(node))


def put_together(skeleton: onnx.ModelProto, tensors: Tensors) -> ir.Model:
    """The network with its weights in place again, and everything that needs them."""
    model: ir.Model = ir.from_proto(skeleton)
    put_back(model.graph, tensors)
    lift_constants(model)
    settle_casts(model.graph)
    RemoveUnusedNodesPass()(model)
    check_convolutions(model.graph)
    for graph in model.graphs():
        for value in graph.initializers.values():
            check_numbers(value)
    return model


def settle_casts(graph: ir.Graph) -> None:
    """CastLike becomes Cast where the type is known: PyTorch's exporter makes weights look as if they depended on the input through it."""
    for node in graph.all_nodes():
        like = node.inputs[1] if node.op_type == "CastLike" and node.domain == "" else None
        if like is not None and like.dtype is not None:
            node.op_type = "Cast"
            node.attributes["to"] = ir.AttrInt64("to", int(like.dtype))
            node.resize_inputs(1)


def lift_constants(model: ir.Model) -> None:
    """Constant nodes become initializers, in subgraphs too. One whose value is handed out as a result stays a node."""
    for node in model.graph.all_nodes():
        if node.op_type == "Constant" and node.domain == "" and "sparse_value" in node.attributes:
            raise LoadError(f"Constant '{node.outputs[0].name}' is sparse; store it densely.")
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for graph in model.graphs():
        for value in graph.initializers.values():
            value.const_value = value.const_value and settle(value.const_value)
