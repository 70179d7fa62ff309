"""The page is whole, safe, small, the same every time, and works in a real browser."""

import hashlib
import re
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import chromium
import pytest
from made_up import HOSTILE, confusion, made_up

from bitsmith.errors import BitsmithError
from bitsmith.report.page import draw_page, write_page
from bitsmith.report.rows import Confusion, Report

VOID = {"meta", "link", "input", "img", "br", "wbr"}
needs_browser = pytest.mark.skipif(chromium.FOUND is None, reason="needs Chromium: apt-get install chromium")


class Tags(HTMLParser):
    """Checks that every tag is closed where it must be, and keeps what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


def parse(report: Report) -> Tags:
    tags = Tags()
    tags.feed(draw_page(report))
    tags.close()
    return tags


REPORTS = {"empty": Report("empty"), "small": made_up(), "many classes": made_up(classes=30), "hostile": made_up(name=HOSTILE)}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_tag_is_closed_and_every_id_is_one(report: Report) -> None:
    tags = parse(report)
    assert tags.open == []
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in tags.attributes("a")} <= {f"#{name}" for name in ids}


def test_hostile_names_stay_text() -> None:
    tags = parse(made_up(name=HOSTILE))
    assert len(tags.attributes("script")) == 1
    assert not any(key.startswith("on") for _, attributes in tags.seen for key in attributes)
    page = draw_page(made_up(name=HOSTILE))
    assert "<script>alert" not in page
    assert "{{ 7 * 7 }}" in page
    assert page.count("</style>") == 1


def test_the_policy_knows_the_only_script() -> None:
    page = draw_page(made_up())
    (script,) = re.findall(r"<script>(.*)</script>", page, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in page
    assert "default-src 'none'" in page


def test_nothing_is_fetched() -> None:
    page = draw_page(made_up())
    assert not re.search(r"https?://|url\(|@import|<iframe|<object", page)


def test_headers_say_what_they_are_of_and_pictures_have_words() -> None:
    tags = parse(made_up())
    assert all(a.get("scope") in ("row", "col") for a in tags.attributes("th"))
    assert all((a.get("role") == "img" and a.get("aria-label")) or a.get("aria-hidden") for a in tags.attributes("svg"))
    assert all("alt" in a for a in tags.attributes("img"))


def test_both_themes_have_every_colour() -> None:
    page = draw_page(Report("x"))
    light, *dark = (dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r"color-scheme: (?:light|dark);[^}]*", page))
    assert len(dark) == 2
    assert dark[0] == dark[1]
    assert light.keys() == dark[0].keys() >= set(re.findall(r"var\(--([\w-]+)[,)]", page)) - {"c", "p"}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def pairs() -> Iterator[tuple[str, str]]:
    yield from ((text, ground) for text in ("ink", "soft", "link") for ground in ("ground", "paper", "look-ground"))
    yield from ((mood, f"{mood}-ground") for mood in ("look",))
    yield from (("ink", f"{mood}-ground") for mood in ("good", "look", "act"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme: str) -> None:
    (block, *_) = re.findall(rf"color-scheme: {scheme};[^}}]*", draw_page(Report("x")))
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", block))
    for text, ground in pairs():
        bright, dim = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, f"{text} on {ground}"


def test_equal_answers_are_said_to_be_equal() -> None:
    report = made_up()
    assert report.answers.confusion is not None
    same = replace(report.answers, confusion=replace(report.answers.confusion, after=report.answers.confusion.before))
    assert "No difference" in draw_page(replace(report, answers=same))
    assert "No difference" not in draw_page(report)


def test_many_classes_with_hardly_a_change_are_said_to_have_none() -> None:
    report, many, said = made_up(), confusion(30), "Of 30 classes, no count of answers changed"
    same = replace(report.answers, confusion=Confusion(many.before, many.before))
    assert said in draw_page(replace(report, answers=same))
    assert said not in draw_page(replace(report, answers=replace(report.answers, confusion=many)))


def test_five_hundred_layers_stay_small() -> None:
    assert len(draw_page(made_up(500)).encode()) < 10_000_000


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_page(made_up(), tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BitsmithError, match="nowhere"):
        write_page(Report("x"), tmp_path / "nowhere" / "a.html")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    path = tmp_path_factory.mktemp("page") / "net.html"
    write_page(made_up(12, HOSTILE), path)
    with chromium.opened(path) as opened:
        yield opened


ROWS = "[...document.querySelectorAll('#layer-table tbody tr:not([hidden])')]"


@needs_browser
def test_a_browser_has_nothing_to_complain_and_nothing_to_fetch(page: chromium.Page) -> None:
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in page.requests() if url.startswith("file:")]) == 1


@needs_browser
def test_a_browser_sorts(page: chromium.Page) -> None:
    column = "[...document.querySelectorAll('#layer-table th button')].findIndex(b => b.textContent === 'signal to noise')"
    values = f"(() => {{ const c = {column}; return {ROWS}.map(r => Number(r.cells[c].dataset.v)); }})()"
    page.run(f"document.querySelectorAll('#layer-table th button')[{column}].click()")
    assert page.run(values) == sorted(page.run(values))
    page.run(f"document.querySelectorAll('#layer-table th button')[{column}].click()")
    assert page.run(values) == sorted(page.run(values), reverse=True)
    assert page.run("document.querySelector('#layer-table th[aria-sort]').getAttribute('aria-sort')") == "descending"


@needs_browser
def test_a_browser_searches_and_shows_only_what_stays_float(page: chromium.Page) -> None:
    assert page.run(f"{ROWS}.length") == 12
    page.run("(() => { const box = document.querySelector('[data-only]'); box.click(); })()")
    assert page.run(f"{ROWS}.length") == 2
    page.run("document.querySelector('[data-only]').click()")
    field = "document.querySelector('#layers [type=search]')"
    page.run(f"{field}.value = '.11 CONV'; {field}.dispatchEvent(new Event('input'))")
    assert page.run(f"{ROWS}.length") == 1


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_follows_its_reader_and_the_button(page: chromium.Page, scheme: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.run("delete document.documentElement.dataset.theme")
    page.show(1200, 800, scheme)
    first = page.run(ground)
    page.run("document.getElementById('theme').click()")
    assert page.run(ground) != first
    assert page.run("document.getElementById('theme').getAttribute('aria-pressed')") == str(scheme == "light").lower()
    page.run("document.getElementById('theme').click()")
    assert page.run(ground) == first


@needs_browser
def test_a_browser_shows_one_tensor(page: chromium.Page) -> None:
    page.run("document.querySelectorAll('button.open')[1].click()")
    assert page.run("document.querySelector('dialog').open")
    assert page.run("document.querySelectorAll('dialog svg.chart').length") == 5
    assert page.run("document.querySelector('dialog h2').textContent").startswith("<script>alert(1)</script>")
    page.run("document.querySelector('dialog button').click()")
    assert not page.run("document.querySelector('dialog').open")


def test_headings_go_down_step_by_step() -> None:
    levels = [int(tag[1]) for tag, _ in parse(made_up()).seen if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_all_that_reacts_can_be_reached_by_keyboard() -> None:
    tags = parse(made_up())
    assert not any("onclick" in a or int(a.get("tabindex") or 0) > 0 for _, a in tags.seen)
    scrolled = [a for a in tags.attributes("div") if a.get("class") == "scroll"]
    assert scrolled
    assert all(a.get("tabindex") == "0" and a.get("role") == "region" for a in scrolled)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_in_light_colours_and_nothing_is_cut(page: chromium.Page, scheme: str, tmp_path: Path) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=1040, height=720, deviceScaleFactor=1, mobile=False)    # a sheet in landscape
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": scheme}])
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.body).color") == "rgb(26, 29, 33)"
    assert page.run("document.getElementById('verdict').innerText").startswith("Verdict")
    page.call("Emulation.setEmulatedMedia", media="")
    content = b64decode(page.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 1
    if shutil.which("pdftotext"):
        (tmp_path / "a.pdf").write_bytes(content)
        text = subprocess.run(["pdftotext", "-layout", tmp_path / "a.pdf", "-"], capture_output=True, text=True, check=True).stdout
        assert "Verdict" in text
        for word in ("reason", "accumulator", "beyond", "How it was made"):      # the last columns of both tables
            assert word in text
        assert text.count("<script>alert(1)</script>") > 20


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
def test_names_without_any_place_to_break_stay_in_their_place(tmp_path: Path, width: int) -> None:
    write_page(made_up(6, "x" * 300), tmp_path / "net.html")
    with chromium.opened(tmp_path / "net.html") as page:
        page.show(width, 900, "light")
        assert page.run("document.documentElement.scrollWidth") <= width
        cut = """[...document.querySelectorAll('#heat th[scope=row]')].filter(
            h => h.firstElementChild.getBoundingClientRect().right > h.getBoundingClientRect().right).length"""
        assert page.run(cut) == 0


@needs_browser
def test_a_phone_need_not_scroll_sideways(page: chromium.Page) -> None:
    page.show(390, 844, "light")
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.complaints() == []
