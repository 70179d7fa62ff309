"""Times as people write them."""

import pytest

from bitsmith.errors import RecipeError
from bitsmith.planning.budget import read_budget


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("90s", 90), ("1h30m", 5400), ("45", 45), ("0.5m", 30)])
def test_times(text: str, seconds: float) -> None:
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 m", "m", "-5s"])
def test_wrong_times(text: str) -> None:
    with pytest.raises(RecipeError, match="10m"):
        read_budget(text)
