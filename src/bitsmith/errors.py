"""Everything bitsmith raises on purpose. A message names the thing in the user's words and says what to do next.

BitsmithError
├── LoadError          a network or a data file cannot be read
│   ├── DataError      data do not fit the network (names, shapes, types, NaN, nothing at all)
│   └── GoneError      data that are needed once more cannot be read again
├── RecipeError        a recipe asks for something that does not exist
├── PlanError          a plan does not fit its network
│   └── TargetError    a target cannot take what the plan gives
├── StatisticsError    statistics are missing, empty or do not fit
└── LoweringError      a value has no integer meaning yet
"""


class BitsmithError(Exception):
    """Base of all errors that are the user's to mend; the command line prints it and exits with status 2."""


class LoadError(BitsmithError):
    """A file cannot be read as what it should be."""


class DataError(LoadError):
    """Data do not fit the network."""


class GoneError(LoadError):
    """Data that are needed once more cannot be read again."""


class RecipeError(BitsmithError):
    """A recipe asks for something that does not exist."""


class PlanError(BitsmithError):
    """A plan does not fit its network."""


class TargetError(PlanError):
    """A target cannot take what the plan gives."""


class StatisticsError(BitsmithError):
    """Statistics are missing, empty or do not fit."""


class LoweringError(BitsmithError):
    """A value has no meaning in integers."""
