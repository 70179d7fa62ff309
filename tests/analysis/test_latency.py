"""Latency is measured in both networks by turns, of one sample, and only where asked. No test here depends on how long anything takes."""

from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import bitsmith as bs
from bitsmith.analysis import latency
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.latency import blank_sample, measure_latency
from bitsmith.analysis.report_rows import ReportExtras, by_loss
from bitsmith.cli import app
from bitsmith.report.rows import Sensitive

MODEL = networks.conv_bn_relu()
DATA = networks.feeds(MODEL, 8)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network and what became of it; runs are few."""
    monkeypatch.setattr(latency, "MOST_RUNS", 3)
    monkeypatch.setattr(latency, "LEAST_RUNS", 3)
    onnx.save(MODEL, tmp_path / "net.onnx")
    bs.quantize(bs.load(MODEL), DATA).write(tmp_path / "q.onnx")
    return tmp_path


def test_the_median_is_that_of_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, *(t for run in range(9) for t in (0.0, 1.0 + run, 0.0, 2.0 * (1 + run)))])
    monkeypatch.setattr(latency, "MOST_RUNS", 9)
    monkeypatch.setattr(latency, "perf_counter", lambda: next(ticks))
    subject = Subject(bs.load(MODEL))
    found = measure_latency(subject, subject, {"input": DATA["input"][:1]})
    assert (found.before, found.after, found.runs) == (5.0, 10.0, 9)
    assert str(found) == "engine onnxruntime, 1 thread, batch 1, median of 9 runs each, by turns"


def test_without_data_a_sample_is_zeros() -> None:
    (blank,) = blank_sample(bs.load(MODEL).graph).values()
    assert (blank.shape, blank.dtype, blank.any()) == ((1, *DATA["input"].shape[1:]), np.float32, np.False_)
    (ids,) = blank_sample(bs.load(networks.tokens()).graph).values()
    assert ids.dtype == np.int64


def test_a_sample_of_unknown_size_needs_data() -> None:
    network = bs.load(MODEL)
    network.graph.inputs[0].shape = None
    with pytest.raises(bs.BitsmithError, match="give data"):
        blank_sample(network.graph)


def test_the_page_shows_latency_only_where_asked(files: Path) -> None:
    for data in (None, DATA):
        bs.write_report(files / "net.onnx", files / "q.onnx", files / "a.html", data=data, extras=ReportExtras(latency=True))
        assert "batch 1, median of 3 runs each" in (files / "a.html").read_text()
    bs.write_report(files / "net.onnx", files / "q.onnx", files / "b.html")
    assert "median of" not in (files / "b.html").read_text()


def test_the_command_and_the_result_measure_it_too(files: Path) -> None:
    arguments = ["report", str(files / "net.onnx"), str(files / "q.onnx"), "--latency", "-o", str(files / "a.html")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert "median of 3 runs" in (files / "a.html").read_text()
    result = bs.quantize(bs.load(MODEL), DATA, test=DATA)
    rows = [Sensitive("/conv1_out", "int4", None, 9.0, "simulated"), Sensitive("/conv1_out", "int2", None, 3.0, "simulated")]
    result.report(files / "c.html", latency=True, sensitivities=rows)
    page = (files / "c.html").read_text()
    assert "median of 3 runs" in page
    assert "2 settings, each of one layer alone; engine simulated" in page
    assert "3.0 dB, int2</td>" in page


def test_the_most_sensitive_comes_first() -> None:
    rows = [Sensitive("a", "x", None, None), Sensitive("b", "x", None, 30.0), Sensitive("c", "x", 0.1, 50.0),
            Sensitive("d", "x", None, 3.0), Sensitive("e", "x", 0.2, 60.0)]
    assert [row.layer for row in by_loss(rows)] == ["e", "c", "d", "b", "a"]
