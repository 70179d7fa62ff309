"""Whatever the user calls things, C gets identifiers of its own and comments that end where they should."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.targets.c.names import KEYWORDS, Names, comment


@given(st.lists(st.text(), max_size=20))
def test_every_name_gets_an_identifier_of_its_own(found: list[str]) -> None:
    names = Names(["run"])
    given_out = {name: names.identifier(name) for name in found}
    assert all(re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name) and "__" not in name for name in given_out.values())
    assert len({name.lower() for name in given_out.values()}) == len(set(found))
    assert not {*KEYWORDS, "run"} & {name.lower() for name in given_out.values()}
    assert all(names.identifier(name) == known for name, known in given_out.items())


@pytest.mark.parametrize(("name", "expected"), [
    ("/layer1/layer1.0/conv1/Conv_output_0", "layer1_layer1_0_conv1_Conv"), ("int", "int_2"), ("42", "v_42"), ("", "v"), ("größe", "gr_e"),
    ("x" * 100, "x" * 48), ("a__b", "a_b"), ("Run", "Run_2"),
])
def test_names_stay_readable(name: str, expected: str) -> None:
    assert Names(["run"]).identifier(name) == expected


@given(st.text())
def test_comments_cannot_be_left(text: str) -> None:
    found = comment(text)
    assert not any(mark in found for mark in ("*/", "/*", "\\", "??"))
    assert found.isascii()
    assert found.isprintable()


def test_a_name_that_would_end_a_comment() -> None:
    assert comment("a*/ int x; /*") == "a* / int x; / *"
