"""What docs/fixed_point.md shows is what happens."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "fixed_point.md"


def test_examples_give_what_the_page_says() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried >= 10
    assert not failed
