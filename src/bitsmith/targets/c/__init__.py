"""C99 for microcontrollers, computing exactly what the integer program computes. A flavour is a choice of kernels."""

from bitsmith.targets.c.target import CTarget

__all__ = ["CTarget"]
