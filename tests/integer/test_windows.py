"""Windows stand where counting them one by one puts them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from integer_reference import inputs_of, output_sizes

from bitsmith.errors import LoweringError
from bitsmith.integer.windows import Window, dilate


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, tuple[int, ...]]:
    space = draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=space, max_size=space)))

    window = Window.of(sizes(1, 3), strides=sizes(1, 4), dilations=sizes(1, 3), ceil_mode=draw(st.booleans()),
                       pads=tuple(zip(sizes(-1, 2), sizes(-1, 2), strict=True)))
    spatial = sizes(1, 6)
    assume(min(output_sizes(window, spatial)) > 0)
    return window, spatial


@settings(deadline=None, max_examples=300)
@given(windows())
def test_number_of_windows(case: tuple[Window, tuple[int, ...]]) -> None:
    window, sizes = case
    assert list(window.output_sizes(sizes)) == output_sizes(window, sizes)


@settings(deadline=None, max_examples=200)
@given(windows())
def test_views_and_gather_show_what_the_windows_see(case: tuple[Window, tuple[int, ...]]) -> None:
    """Elements are numbered from 1, so that the filler 0 cannot be taken for one."""
    window, sizes = case
    values = np.arange(1, 1 + 2 * 3 * int(np.prod(sizes))).reshape(2, 3, *sizes)
    placed = window.place(values, 0)
    views = np.stack(list(window.views(placed)), -1)
    gathered = window.gather(placed).reshape(views.shape)
    np.testing.assert_array_equal(views, gathered)
    for output in np.ndindex(*window.output_sizes(sizes)):
        expected = np.zeros((2, 3, *window.kernel), int)
        for kernel, place in inputs_of(window, output, sizes, [1] * len(sizes)):
            expected[(..., *kernel)] = values[(..., *place)]
        np.testing.assert_array_equal(views[(slice(None), slice(None), *output)].reshape(expected.shape), expected)


@settings(deadline=None, max_examples=200)
@given(windows())
def test_counts_are_the_elements_seen(case: tuple[Window, tuple[int, ...]]) -> None:
    window, sizes = case
    counts = window.counts(sizes, include_pad=False)
    for output in np.ndindex(*counts.shape):
        assert counts[output] == len(list(inputs_of(window, output, sizes, [1] * len(sizes))))


def test_padding_counts_where_it_is_asked_to_but_not_what_lies_beyond() -> None:
    window = Window.of((3,), strides=(2,), pads=((1, 1),), ceil_mode=True)
    assert window.counts((4,), include_pad=True).tolist() == [3, 3, 2]
    assert window.counts((4,), include_pad=False).tolist() == [2, 3, 1]


def test_nothing_is_copied_where_nothing_is_padded() -> None:
    values = np.zeros((1, 1, 4, 4))
    assert Window.of((1, 1)).place(values, 0) is values


def test_dilating_puts_fillers_between_neighbours() -> None:
    values = np.arange(1, 7).reshape(1, 1, 2, 3)
    assert dilate(values, (2, 1), 0)[0, 0].tolist() == [[1, 2, 3], [0, 0, 0], [4, 5, 6]]
    assert dilate(values, (1, 3), 9)[0, 0, 0].tolist() == [1, 9, 9, 2, 9, 9, 3]
    assert dilate(values, (1, 1), 0) is values


UNFIT = [{"strides": (1,)}, {"dilations": (1, 1, 1)}, {"pads": ((0, 0),)}, {"strides": (0, 1)}, {"dilations": (1, 0)}]


@pytest.mark.parametrize("options", UNFIT)
def test_options_must_fit_the_kernel(options: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(LoweringError, match="as many positive strides"):
        Window.of((2, 2), **options)  # type: ignore[arg-type]


def test_a_window_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(LoweringError, match=r"kernel of \(3,\) with dilations \(2,\) does not fit \(4,\)"):
        Window.of((3,), dilations=(2,)).output_sizes((4,))
