"""A transformer's page: attention, normalization of layers, Gelu, and token ids as input, from the files to the browser."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import chromium
import networks
import pytest

import bitsmith as bs
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.report_rows import Material, gather_rows
from bitsmith.report.rows import Report

OPERATORS = {"attention": {"LayerNormalization", "MatMul", "Softmax", "Erf", "Add"}, "tokens": {"Gather", "LayerNormalization", "Gemm"}}


@pytest.fixture(scope="module", params=OPERATORS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bs.Quantized, Path]:
    """(name, result, page), everything on codes that can be."""
    name = request.param
    model = networks.NETWORKS[name](opset=17)           # with Gelu as exporters wrote it before it was one operator
    feeds = networks.feeds(model, 32)
    result = bs.quantize(bs.load(model), feeds, test=feeds, recipe=bs.recipes.int8().with_everything())
    path = tmp_path_factory.mktemp(name) / "net.html"
    result.report(path, title=name)
    return name, result, path


@pytest.fixture(scope="module")
def rows(made: tuple[str, bs.Quantized, Path]) -> Report:
    result = made[1]
    return gather_rows(Material(result.original, Subject(result.network), result.plan, result.statistics,
                                result.float_evaluation, result.evaluation, result.tested))


def test_every_layer_says_what_it_became(made: tuple[str, bs.Quantized, Path], rows: Report) -> None:
    name, result, path = made
    page = unescape(path.read_text().replace("<wbr>", ""))
    assert OPERATORS[name] <= {layer.operator for layer in rows.layers}
    assert [layer.name for layer in rows.layers] == [node.name for node in result.original.graph]
    assert all(layer.name in page and (layer.reason or layer.state == "codes") for layer in rows.layers)
    assert sum(layer.macs or 0 for layer in rows.layers if layer.state != "float") == sum(layer.macs or 0 for layer in rows.layers)


def test_every_value_between_layers_was_measured(rows: Report) -> None:
    made = {layer.output for layer in rows.layers if layer.state != "other"}
    seen = {t.name: t for t in rows.tensors}
    assert made <= set(seen)
    assert all(seen[name].snr_db is not None and seen[name].snr_db > 15 for name in made)
    assert all(t.errors is not None for t in rows.tensors if t.name in made and t.format)


@pytest.fixture(scope="module")
def page(made: tuple[str, bs.Quantized, Path]) -> Iterator[chromium.Page]:
    if chromium.FOUND is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with chromium.opened(made[2]) as opened:
        yield opened


def test_a_browser_shows_every_tensor_without_complaint(page: chromium.Page, rows: Report) -> None:
    buttons = "document.querySelectorAll('button.open')"
    assert page.run(f"{buttons}.length") == len(rows.tensors)
    drawn = page.run(f"""[...{buttons}].map(b => {{ b.click(); const d = document.querySelector('dialog');
        const text = d.innerHTML; d.close(); return text; }})""")
    assert all("<svg" in text and "NaN" not in text and "undefined" not in text for text in drawn)
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith("file:")] == []


def test_answers_without_labels_are_told_in_words(page: chromium.Page, made: tuple[str, bs.Quantized, Path]) -> None:
    said = page.run("document.querySelector('#answers').innerText")
    assert ("no single answer" if made[0] == "attention" else "of 32 samples are answered differently") in said
