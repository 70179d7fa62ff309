"""A search on the page: the picture's points, the table of the front, and nothing where nobody searched."""

import re
from dataclasses import replace

from made_up import HOSTILE, made_up

from bitsmith.report.fronts import cost_text, draw_front
from bitsmith.report.page import draw_page
from bitsmith.report.rows import Tried

TRIED = (Tried("01", 3.5, 1e5, 0.012, 0.002, None, True), Tried("02", 4.0, 1.2e5, 0.008, 0.002, 0.0085, True, True),
         Tried("", 5.0, 1.5e5, 0.5, 0.01))


def test_points_lie_where_they_belong() -> None:
    drawn = re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', draw_front(TRIED, "bytes", 0.01))
    places = {kind: (float(x), float(y)) for kind, x, y in drawn}
    assert len(drawn) == 3
    assert places["unbeaten"][0] < places["chosen"][0] < places["beaten"][0]
    assert places["chosen"][1] > places["unbeaten"][1] > places["beaten"][1]
    assert drawn[-1][0] == "chosen"                 # drawn over the others


def test_one_point_is_a_picture_too() -> None:
    assert "circle" in draw_front(TRIED[:1], "energy", 0.0)
    assert cost_text(2e6, "energy") == "2 µJ"
    assert cost_text(2.5e9, "bitops") == "2.5 G"


def test_the_page_shows_a_search_where_there_was_one() -> None:
    assert "<h2 id=\"tried-title\"" not in draw_page(made_up())
    page = draw_page(replace(made_up(), tried=TRIED, cost="bytes", tolerance=0.01))
    assert '<a href="#tried">' in page
    assert page.index("01</th>") < page.index("02 (chosen)")
    assert "−0.80 points ± 0.20" in page
    assert "3 assignments" in page


def test_names_stay_text() -> None:
    assert "<script>alert" not in draw_page(replace(made_up(), tried=(replace(TRIED[0], name=HOSTILE),), tolerance=0.01))
