"""The whole journey in a real browser, against the command as a user starts it, killed and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import chromium
import numpy as np
import pytest
from studios import DATA, NET, TEST

import bitsmith as bs

pytestmark = pytest.mark.skipif(chromium.FOUND is None, reason="needs Chromium: apt-get install chromium")
SOURCE = Path(bs.__file__).parents[1]
READY = "document.body.dataset.ready === 'yes'"
COMMAND = [sys.executable, "-m", "bitsmith", "app"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the digits in it."""
    for path in (NET, DATA, TEST):
        shutil.copy(path, tmp_path)
    return tmp_path


def add_many(here: Path) -> Path:
    """So many test samples that a validation can be met in the middle."""
    with np.load(TEST) as arrays:
        np.savez(here / "many.npz", pixels=np.repeat(arrays["pixels"], 400, 0), y=np.repeat(arrays["y"], 400))
    return here / "many.npz"


@contextmanager
def started(here: Path, test: str = TEST.name) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, and the address that it printed."""
    arguments = [NET.name, "--data", DATA.name, "--test", test, "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    program = subprocess.Popen([*COMMAND, *arguments], cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), program.communicate()
        yield program, address
    finally:
        if program.poll() is None:
            program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
        assert errors == ""


@contextmanager
def browsed(address: str) -> Iterator[chromium.Page]:
    with chromium.opened(address) as page:
        page.wait(READY)
        yield page
        assert page.complaints() == []
        assert {url.partition("/?")[0].split("/")[2] for url in page.requests()} == {address.split("/")[2]}


def click(page: chromium.Page, selector: str) -> None:
    page.run(f"document.querySelector({json.dumps(selector)}).click()")


def choose(page: chromium.Page, selector: str, value: str) -> None:
    page.run(f"""(() => {{ const field = document.querySelector({json.dumps(selector)}); field.focus(); field.value = {json.dumps(value)};
                 field.dispatchEvent(new Event("change", {{ bubbles: true }})); }})()""")


def text(page: chromium.Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).innerText"))


def said(page: chromium.Page, words: str) -> None:
    page.wait(f"document.getElementById('job').innerText.includes({json.dumps(words)})")


def becomes_0(page: chromium.Page) -> float:
    """The share that the panel says of its tensor."""
    facts = page.run("[...document.querySelectorAll('#panel .facts div')].map(d => d.innerText)")
    (share,) = [fact.split("\n")[-1] for fact in facts if fact.startswith("becomes 0")]
    return float(share.removeprefix("< ").removesuffix(" %"))


GREY = "[...document.querySelectorAll('#panel figure')[0].querySelectorAll('.lost, .cannot')].map(p => p.getAttribute('d')).join()"
WEIGHTS = "select.format[data-role=weights]"


def test_the_whole_journey(here: Path) -> None:
    with started(here) as (_, address), browsed(address) as page:
        page.show(1400, 900, "light")
        click(page, "#calibrate")
        said(page, "Calibrated: ")
        click(page, ".look[data-name='stem.weight']")
        page.wait("document.querySelector('#panel figure')")
        before, grey = becomes_0(page), page.run(GREY)
        choose(page, WEIGHTS, "4")
        page.wait("document.querySelector('#panel').innerText.includes('int4')")
        assert becomes_0(page) > before
        assert page.run(GREY) != grey
        assert page.run(f"document.activeElement === document.querySelector('{WEIGHTS}')")
        click(page, "#recipe-everything")
        page.wait("document.getElementById('recipe-everything').checked")
        click(page, "#quantize")
        said(page, "Attempt 1 is there")
        page.wait("document.querySelector('#attempts .open-attempt')")
        click(page, ".open-attempt")
        page.wait("document.querySelectorAll('#attempt table.confusion').length === 3")
        click(page, "[data-post='/export/1']")
        said(page, "was copied into")
        shown = page.run("document.querySelector('#attempts td[data-v]').dataset.v")
        card = text(page, "#attempt .card .big")
    found = bs.evaluate(here / "digits.bitsmith" / "exported" / "digits.int8-1.onnx", here / TEST.name)
    assert f"{found.top1:.9g}" == shown
    assert f"{100 * found.top1:.2f} %" == card


def test_other_formats_c_and_attempts_that_nobody_wants(here: Path) -> None:
    with started(here) as (_, address), browsed(address) as page:
        page.show(1400, 900, "dark")
        click(page, "#calibrate")
        said(page, "Calibrated: ")
        click(page, "#recipe-everything")
        page.wait("document.getElementById('recipe-everything').checked")
        click(page, ".look[data-name='stem.weight']")
        choose(page, WEIGHTS, "pow2_3")
        page.wait("document.querySelector('#panel').innerText.includes('pow2_3')")
        choose(page, WEIGHTS, "4")
        page.wait(f"document.querySelector('{WEIGHTS}').value === '4'")
        choose(page, "#recipe-target", "c")
        page.wait("![...document.querySelectorAll('select.format option')].some(o => o.value === 'float')")
        click(page, "#quantize")
        said(page, "Attempt 1 is there")
        page.wait("document.querySelector('#attempts .files').innerText.startsWith('C ')")
        shown = page.run("document.querySelector('#attempts td[data-v]').dataset.v")
        click(page, "[data-post='/export/1']")
        said(page, "was copied into")
        click(page, ".open-attempt")
        page.wait("document.querySelector('#attempt h3')")
        page.run("window.confirm = text => { window.asked = text; return Boolean(window.sure); }")
        click(page, "[data-post='/remove/1']")
        assert page.run("window.asked").startswith("Remove attempt 1 with its files?")
        page.run("window.sure = true")
        click(page, "[data-post='/remove/1']")
        said(page, "Attempt 1 was removed")
        page.wait("document.getElementById('attempts').innerText.includes('Nothing was validated yet')")
        assert page.run("document.getElementById('attempt').children.length") == 0
    exported = here / "digits.bitsmith" / "exported" / "digits.int8-1.zip"
    with zipfile.ZipFile(exported) as archive:
        archive.extractall(here)
    found = bs.evaluate(here / "digits.int8-1" / "net.onnx", here / TEST.name)          # the float network that the C was made from
    assert abs(found.top1 - float(shown)) < 0.02
    assert {"net.c", "net.h", "main.c"} <= {path.name for path in (here / "digits.int8-1").iterdir()}


def test_loading_again_loses_nothing_and_tabs_show_the_same(here: Path) -> None:
    with started(here) as (_, address), browsed(address) as page:
        page.show(1400, 900, "dark")
        first = page.session
        second = page.open(address.partition("?")[0])
        page.wait(READY)
        click(page, "#calibrate")
        page.session = first
        said(page, "Calibrated: ")
        choose(page, "#recipe-name", "int4")
        choose(page, WEIGHTS, "16")
        click(page, ".look[data-name='stem.weight']")
        page.session = second
        page.wait(f"document.querySelector('{WEIGHTS}').value === '16' && document.getElementById('recipe-name').value === 'int4'")
        page.session = first
        page.go(address.partition("?")[0])
        page.wait(f"{READY} && document.querySelector('#panel').innerText.includes('int16')")
        assert page.run(f"document.querySelector('{WEIGHTS}').value") == "16"


def test_a_wish_that_cannot_be_is_refused_in_words_and_taken_back(here: Path) -> None:
    with started(here) as (_, address), chromium.opened(address) as page:
        page.wait(READY)
        choose(page, "select.format[data-role=weights]", "16")
        page.wait("document.querySelector('select.format.chosen')")
        choose(page, "#recipe-target", "tensorrt")
        page.wait("document.getElementById('problem').innerText.includes(\"'tensorrt' has no 16 bits weights\")")
        assert page.run("document.getElementById('recipe-target').value") == "onnxruntime"


def test_long_work_can_be_cancelled_and_a_second_tab_is_told_what_runs(here: Path) -> None:
    with started(here, add_many(here).name) as (_, address), browsed(address) as page:
        click(page, "#calibrate")
        said(page, "Calibrated: ")
        click(page, "#quantize")
        page.wait("document.querySelector('#job progress[max]')")
        page.open(address.partition("?")[0])
        page.wait(READY)
        assert "Quantizing and validating" in text(page, "#job")
        assert page.run("document.getElementById('quantize').disabled && document.getElementById('calibrate').disabled")
        click(page, "#cancel")
        said(page, "cancelled. Nothing was changed.")
        assert not page.run("document.getElementById('quantize').disabled")


def test_a_kill_in_the_middle_of_a_validation_loses_nothing_that_was_finished(here: Path) -> None:
    add_many(here)
    with started(here, TEST.name) as (_, address), browsed(address) as page:
        click(page, "#calibrate")
        said(page, "Calibrated: ")
        click(page, "#quantize")
        said(page, "Attempt 1 is there")
    with started(here, "many.npz") as (program, address), chromium.opened(address) as page:
        page.wait(READY)
        choose(page, WEIGHTS, "4")
        page.wait(f"document.querySelector('{WEIGHTS}').value === '4' && document.querySelector('{WEIGHTS}').classList.contains('chosen')")
        click(page, "#quantize")
        page.wait("document.querySelector('#job progress[max]')")
        program.kill()
        program.wait()
        page.wait("!document.getElementById('lost').hidden")
    assert len(list((here / "digits.bitsmith" / "attempts").iterdir())) == 1
    with started(here, TEST.name) as (_, address), browsed(address) as page:
        assert text(page, "#attempts .open-attempt") == "1"
        assert page.run(f"document.querySelector('{WEIGHTS}').value") == "4"
        assert "values were counted" in text(page, "#samples")
        click(page, "#quantize")
        said(page, "Attempt 2 is there")
        assert not [p.name for p in (here / "digits.bitsmith").iterdir() if p.name.startswith(".")]


def test_a_phone_need_not_scroll_sideways(here: Path) -> None:
    with started(here) as (_, address), browsed(address) as page:
        page.show(390, 844, "light")
        click(page, "#calibrate")
        said(page, "Calibrated: ")
        click(page, ".look")
        page.wait("document.querySelector('dialog').open && document.querySelector('dialog svg.chart')")
        assert page.run("document.documentElement.scrollWidth") <= 390


def test_without_a_browser_key_there_is_only_a_sentence(here: Path) -> None:
    with started(here) as (_, address), chromium.opened(address.partition("?")[0]) as page:
        assert "Open the address that `bitsmith app` printed" in text(page, "body")
