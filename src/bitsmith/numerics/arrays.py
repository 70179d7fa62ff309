"""What numbers come in: numpy arrays of any type and shape."""

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
