"""A PyTorch module becomes an ONNX network with its state dict's names. Needs the extra `torch`; reads no .pth (nothing is unpickled)."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoadError
from bitsmith.loading.refuse import first_line

if TYPE_CHECKING:
    import torch

BATCH = "batch"


def from_torch(module: "torch.nn.Module", example_inputs: Any) -> ir.Model:
    """The module's inference network in normal form (see from_onnx), its batch size free, its weights copied.

    example_inputs   what one call of the module is given: a tensor or array, a sequence of arguments, or a mapping of them by name.
                     The first axis of each is samples; values are not looked at, shapes and types are.

    The module is traced in evaluation mode and left as it was. Raises LoadError where PyTorch is not installed or cannot export the module.
    """
    torch = import_torch()
    from bitsmith.loading.from_onnx import load

    if not isinstance(module, torch.nn.Module):
        raise LoadError(f"A network is a path, bytes, an ONNX model or a torch.nn.Module, not a {type(module).__name__}.")
    arguments = tensors_of(example_inputs)
    if not arguments:
        raise LoadError(f"{type(module).__name__} must be traced and came without example inputs; pass for instance one batch.")
    with evaluating(module), quiet():
        model = export(module, arguments)
    name_for_users(model)
    for value in model.graph.initializers.values():     # copies: training may go on without changing what was loaded
        if value.const_value is not None:
            value.const_value = ir.Tensor(np.array(value.const_value.numpy()), dtype=value.const_value.dtype, name=value.name)
    return load(model)


def import_torch() -> Any:
    try:
        import onnxscript  # noqa: F401  torch.onnx asks for it late, and unclearly
        import torch
    except ImportError as error:
        raise LoadError(f"Loading a PyTorch module needs '{error.name}'; install it with: pip install 'bitsmith[torch]'") from error
    return torch


def tensors_of(example_inputs: Any) -> "dict[str | int, torch.Tensor]":
    """Arguments by name or position. A batch of one is doubled, for PyTorch takes a size of 1 to be a constant."""
    import torch

    if isinstance(example_inputs, Mapping):
        given: dict[str | int, Any] = dict(example_inputs)
    elif isinstance(example_inputs, Sequence) and not isinstance(example_inputs, str):
        given = dict(enumerate(example_inputs))
    else:
        given = {} if example_inputs is None else {0: example_inputs}
    tensors = {name: torch.as_tensor(value) for name, value in given.items()}
    if any(tensor.ndim == 0 for tensor in tensors.values()):
        raise LoadError("An example input is a single number; give arrays whose first axis is samples.")
    return {name: torch.cat([tensor, tensor]) if len(tensor) == 1 else tensor for name, tensor in tensors.items()}


def export(module: "torch.nn.Module", arguments: "dict[str | int, torch.Tensor]") -> ir.Model:
    """What torch.onnx makes of the module, unoptimised: folding is ours. Raises LoadError."""
    import torch

    positional = tuple(value for name, value in arguments.items() if isinstance(name, int))
    named = {name: value for name, value in arguments.items() if isinstance(name, str)}
    free = {0: torch.export.Dim.DYNAMIC}
    try:
        program = torch.onnx.export(
            module, positional, kwargs=named, dynamo=True, optimize=False, verbose=False,
            dynamic_shapes=dict.fromkeys(named, free) if named else (free,) * len(positional),
        )
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        raise LoadError(f"PyTorch cannot export {type(module).__name__}: {first_line(error)}.") from error
    if program is None:
        raise LoadError(f"PyTorch exported nothing for {type(module).__name__}; export it with torch.onnx.export and load the file.")
    model: ir.Model = program.model
    return model


def name_for_users(model: ir.Model) -> None:
    """The free axis is called 'batch', a single result 'output': torch has only its own counters for them."""
    outputs = model.graph.outputs
    free = {str(value.shape[0]) for value in model.graph.inputs if value.shape is not None}
    for value in [*model.graph.inputs, *outputs]:
        for axis, dim in enumerate(value.shape or ()):
            if value.shape is not None and str(dim) in free:
                value.shape[axis] = ir.SymbolicDim(BATCH)
    if len(outputs) == 1 and all(value.name != "output" for value in model.graph.inputs):
        outputs[0].name = "output"


@contextmanager
def evaluating(module: "torch.nn.Module") -> Iterator[None]:
    """Dropout and batch normalization as they are after training; every part's own mode is put back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter logs, warns and prints about its own insides and about packages that nobody asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
