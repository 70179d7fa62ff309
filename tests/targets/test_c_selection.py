"""The largest of several, in C: code for code, and number for number, what the instruction picks in numpy."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from compiled_c import Case, assert_same_codes
from random_programs import Maker
from random_reals import RealMaker

from bitsmith.integer.instructions import ArgMax, Gather, Pick, TopK, Transpose
from bitsmith.numerics import Integer

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def codes_case(seed: int) -> Case:
    """Of a value, now and then seen from another side, along any axis; few different codes, so that many are equal."""
    maker = Maker(seed)
    name = maker.clamp(maker.input(*maker.sizes(maker.pick(1, 2, 3), 1, 6)))
    name = maker.transpose(name) if maker.pick(True, False) else name
    shape, encoding = maker.values[name]
    axis = maker.integer(1, len(shape))
    count = maker.integer(1, shape[axis - 1])
    found = (*shape[:axis - 1], count, *shape[axis:])
    places = maker.add(TopK((name,), maker.name(), axis, count), found, encoding)
    picked = maker.add(Pick((name, places), maker.name(), axis), found, encoding)
    further = maker.add(Transpose((picked,), maker.name(), (0, *range(len(found), 0, -1))), found[::-1], encoding)
    return maker.case((places, further), samples=4)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_largest_codes(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    assert_same_codes([codes_case(seed) for seed in range(16)], tmp_path, compiler=compiler)


def test_largest_numbers(tmp_path: Path) -> None:
    """What is no number among them."""
    cases = []
    for seed in range(6):
        maker = RealMaker(seed)
        shape = (maker.integer(2, 4), maker.integer(1, 9))
        name = maker.input(*shape)
        count = maker.integer(1, shape[1])
        places = maker.add(TopK((name,), maker.name(), 2, count), (shape[0], count))
        maker.places.append(places)
        case = maker.case((places, maker.add(Pick((name, places), maker.name(), 2), (shape[0], count))), samples=4)
        numbers = maker.random.choice(np.float32([np.nan, -0.0, 0.0, 1.5, -np.inf, np.inf]), (4, *shape))
        cases.append(Case(case.program, {name: numbers}, case.choices))
    assert_same_codes(cases, tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("length", [9, 300])
def test_places_pick_rows_of_a_table(length: int, compiler: str, tmp_path: Path) -> None:
    """Places are unsigned, and no compiler likes to be asked whether they are below 0."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    maker = Maker(0)
    name = maker.input(2, length)
    encoding = maker.values[name][1]
    place = maker.add(ArgMax((name,), maker.name(), 2), (2,), encoding)
    table = maker.random.integers(0, 99, (length, 4)).astype(encoding.format.storage)
    rows = maker.add(Gather((place,), maker.name(), table), (2, 4), encoding)
    assert_same_codes([maker.case((rows,), samples=5)], tmp_path, compiler=compiler)


def test_more_than_256_places(tmp_path: Path) -> None:
    maker = Maker(0, formats=(Integer(16),))
    name = maker.input(300)
    case = maker.case((maker.add(TopK((name,), "places", 1, 5), (5,), maker.values[name][1]),))
    assert case.firmware.stored["places"].c_type == "uint16_t"
    assert_same_codes([case], tmp_path)
