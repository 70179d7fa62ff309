"""Turns what libraries raise on ill files into one LoadError of one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from bitsmith.errors import LoadError

# What onnx, onnx_ir, protobuf and numpy raise on files that are not what they claim; anything else is our own mistake and stays visible.
ILL = (
    onnx.checker.ValidationError, onnx.version_converter.ConvertError, onnx.shape_inference.InferenceError, DecodeError, EncodeError,
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
)
NOISE = re.compile(r"^.*Assertion `\w+` failed: |\[\w+Error\] ?|Inference error\(s\): ")


def first_line(error: BaseException) -> str:
    """The deepest cause's first line that says something, without C++ file names and tags."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return NOISE.sub("", text).rstrip(".: ") or type(error).__name__


def printable(text: str) -> str:
    """Newlines and control characters, which a name in a damaged or hostile file may hold, spelt out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@contextmanager
def refuse(what: str) -> Iterator[None]:
    """Within the block, a library's complaint becomes LoadError(f"{what}: {complaint}"). LoadErrors pass, on one line."""
    try:
        yield
    except LoadError as error:
        if str(error).isprintable():
            raise
        raise LoadError(printable(str(error))) from error.__cause__
    except ILL as error:
        raise LoadError(printable(f"{what}: {first_line(error)}.")) from error
