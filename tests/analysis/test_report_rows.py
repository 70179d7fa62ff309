"""The rows of a report against what one computes by hand, on small networks."""

import io
from typing import Any

import networks
import numpy as np
import pytest
from PIL import Image

import bitsmith as bs
from bitsmith.analysis.advice import advise, steepest_fall
from bitsmith.analysis.changed_answers import MOST_SHOWN, as_png, changed_answers
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.evaluate import decibels
from bitsmith.analysis.measure_values import measure_values, names_in_both
from bitsmith.analysis.report_rows import Material, gather_rows
from bitsmith.planning.recipe import Rule
from bitsmith.report.page import draw_page
from bitsmith.report.rows import Channels, Figure, Layer, Report, Significant, Tensor
from bitsmith.running.session import Session

SAMPLES = 40


def quantized(model: Any, recipe: Any = None, *, labelled: bool = True) -> bs.Quantized:
    """With made-up labels, everything on codes."""
    feeds = networks.feeds(model, SAMPLES)
    labels = {"y": np.arange(SAMPLES) % 3} if labelled else {}
    asked = (recipe or bs.recipes.int8()).with_everything()
    return bs.quantize(bs.load(model), feeds, test={**feeds, **labels}, recipe=asked)


def rows_of(result: bs.Quantized) -> Report:
    return gather_rows(Material(result.original, Subject(result.network), result.plan, result.statistics, result.float_evaluation,
                                result.evaluation, result.tested, "net"))


@pytest.fixture(scope="module")
def result() -> bs.Quantized:
    return quantized(networks.conv_bn_relu())


@pytest.fixture(scope="module")
def rows(result: bs.Quantized) -> Report:
    return rows_of(result)


def test_signal_to_noise_is_that_of_all_samples(result: bs.Quantized, rows: Report) -> None:
    assert result.tested is not None
    (batch,) = result.tested.batches(SAMPLES)
    names = names_in_both(result.original, result.network, Subject(result.network).extraction.code_names)
    reals = Session(result.original, list(names)).run(batch)
    there = Session(result.network, list(names.values()), optimise=False).run(batch)
    by_output = {layer.output: layer for layer in rows.layers}
    assert len(names) > 5
    for name, real in reals.items():
        if name not in by_output:
            continue
        found = there[names[name]] if names[name] == name else result.plan.encodings[name].dequantize(there[names[name]])
        noise = np.square(found.astype(np.float64) - real).sum()
        assert by_output[name].snr_db == pytest.approx(decibels(float(np.square(real, dtype=np.float64).sum()), float(noise)))
    assert rows.measured == SAMPLES


def test_errors_of_all_samples_are_spread_as_they_are(result: bs.Quantized) -> None:
    """Counted in bins of less than 0.8 %, against all of them."""
    assert result.tested is not None
    (batch,) = result.tested.batches(SAMPLES)
    found, _ = measure_values(result.original, Subject(result.network), iter(result.tested))
    name = "output"
    apart = Session(result.network, [name], optimise=False).run(batch)[name] - Session(result.original, [name]).run(batch)[name]
    assert found[name].largest == np.abs(apart).max()
    assert (found[name].errors.minimum, found[name].errors.maximum) == (apart.min(), apart.max())
    drawn = next(t for t in rows_of(result).tensors if t.name == name).errors
    assert drawn is not None
    expected = np.histogram(apart, np.linspace(drawn.low, drawn.high, len(drawn.reals) + 1))[0] / apart.size
    assert np.abs(np.cumsum(drawn.reals) - np.cumsum(expected)).max() < 0.05


def test_codes_and_numbers_of_every_sample_are_counted(result: bs.Quantized) -> None:
    assert result.tested is not None
    found, samples = measure_values(result.original, Subject(result.network), iter(result.tested))
    assert samples == SAMPLES
    for name, value in found.items():
        assert (value.codes is not None) == (name in result.plan.encodings)
        if value.codes is not None:
            assert value.codes.sum() == value.reals.count


def test_weights_lose_what_rounding_loses(result: bs.Quantized, rows: Report) -> None:
    weights = {t.name: t for t in rows.tensors if t.role == "weight"}
    assert len(weights) == 3
    for name, row in weights.items():
        array, encoding = result.original.graph.initializers[name].const_value.numpy(), result.plan.encodings[name]
        error = encoding.simulate(array).astype(np.float64) - array
        assert row.largest_error == np.abs(error).max()
        assert row.largest_error <= row.rounding
        assert row.errors is not None
        assert row.errors.reals == tuple((np.histogram(error, len(row.errors.reals))[0] / error.size).tolist())
        assert row.underflow == ((array != 0) & (encoding.simulate(array) == 0)).mean()
        assert row.clipped == 0
        assert row.bits.total == array.size
        assert row.channels is not None
        assert row.channels.low == tuple(array.reshape(len(array), -1).min(1).tolist())


def test_layers_say_what_they_cost(rows: Report) -> None:
    first = rows.layers[0]
    assert (first.operator, first.weights, first.state) == ("Conv", "int8 × 6", "inside")
    assert first.macs == 6 * 3 * 9 * 64
    assert first.float_bytes == 4 * (6 * 3 * 9 + 6)
    assert first.bytes == 6 * 3 * 9 + 4 * 6 + 6 + 4 * 6 + 4 * 6 + 4 * 6       # codes, scales and zero points; likewise of the bias
    assert first.sums is not None
    assert 12 <= first.sums.bits <= 24


def test_every_layer_and_every_value_has_a_row(result: bs.Quantized, rows: Report) -> None:
    assert [layer.name for layer in rows.layers] == [node.name for node in result.original.graph]
    names = [t.name for t in rows.tensors]
    assert len(names) == len(set(names))
    assert set(result.plan.encodings) <= set(names)


def test_what_stays_float_says_why() -> None:
    recipe = bs.recipes.int8().with_rules(Rule(match="/conv2_out", weights="float", activations="float"))
    layer = next(x for x in rows_of(quantized(networks.conv_bn_relu(), recipe)).layers if x.name == "/conv2_out")
    assert layer.state == "float"
    assert layer.reason
    assert layer.sums is None


def test_energy_counts_operations_times_published_ratios(rows: Report) -> None:
    found = {f.name: f for f in rows.figures}
    macs, energy, area = found["multiply-accumulates in float"], found["energy of arithmetic"], found["area of a multiplier and an adder"]
    assert macs.before == sum(x.macs or 0 for x in rows.layers)
    assert macs.after == 0
    assert energy.before == pytest.approx(macs.before * (3.7 + 0.9))
    assert energy.after == pytest.approx(macs.before * (0.2 + 0.03))
    assert (area.before, area.after) == (7700 + 4184, 282 + 36)


def test_words_wider_than_published_count_as_float() -> None:
    found = rows_of(quantized(networks.mlp(), bs.recipes.int8().with_rules(Rule(activations=16))))
    macs = next(f for f in found.figures if f.name == "multiply-accumulates in float")
    assert macs.after == macs.before


def test_products_of_codes_are_no_float() -> None:
    for recipe in ("int8", "dynamic_int8"):
        found = rows_of(quantized(networks.attention(), bs.load_recipe(recipe), labelled=False))
        product = next(x for x in found.layers if x.name == "/q_matmul")
        assert product.state == "codes"
        assert "real numbers" in product.reason
        energy = next(f for f in found.figures if f.name == "energy of arithmetic")
        assert energy.after is not None
        assert energy.before is not None
        assert energy.after < energy.before / 2


def test_confusion_is_that_of_the_evaluations(result: bs.Quantized, rows: Report) -> None:
    assert rows.answers.confusion is not None
    assert result.evaluation is not None
    assert result.evaluation.confusion is not None
    np.testing.assert_array_equal(rows.answers.confusion.after, result.evaluation.confusion)
    assert rows.answers.seen == SAMPLES


@pytest.mark.parametrize("recipe", bs.recipes.__all__)
def test_every_recipe_has_rows_and_a_page(recipe: str) -> None:
    found = rows_of(quantized(networks.attention(), bs.load_recipe(recipe), labelled=False))
    assert found.layers
    assert found.advice
    assert found.layers[0].name in draw_page(found)


def test_without_data_nothing_is_measured_and_the_page_says_so(result: bs.Quantized) -> None:
    found = gather_rows(Material(result.original, Subject(result.network), result.plan))
    assert all(layer.snr_db is None for layer in found.layers)
    assert "test data" in found.advice[0].text
    assert {t.role for t in found.tensors} == {"weight", "bias"}


def test_the_same_result_gives_the_same_page(result: bs.Quantized, tmp_path: Any) -> None:
    for name in ("a", "b"):
        result.report(tmp_path / f"{name}.html", title="net")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize("with_plan", [True, False])
def test_a_page_about_two_files(result: bs.Quantized, tmp_path: Any, with_plan: bool) -> None:
    model = networks.conv_bn_relu()
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    result.write(tmp_path / "net.int8.onnx")
    if not with_plan:
        (tmp_path / "net.int8.plan.json").unlink()
    bs.write_report(tmp_path / "net.onnx", tmp_path / "net.int8.onnx", tmp_path / "net.html", data=networks.feeds(model, 8))
    page = (tmp_path / "net.html").read_text()
    assert ("percentile" in page) == with_plan
    assert page.count("<template") >= 12


def test_changed_answers_are_found_and_counted() -> None:
    pictures = np.random.default_rng(0).random((100, 1, 8, 8)).astype(np.float32)
    scores = np.eye(3, dtype=np.float32)[np.arange(100) % 3]
    batches = [({"x": pictures[i:i + 30]}, np.arange(i, min(i + 30, 100)) % 3) for i in range(0, 100, 30)]
    done: dict[str, int] = {"before": 0, "after": 0}

    def engine(name: str, table: Any) -> Any:
        def run(batch: Any) -> dict[str, Any]:
            start = done[name]
            done[name] += len(batch["x"])
            return {"y": table[start:done[name]]}
        return run

    others = scores.copy()
    others[1::2] = scores[1::2, ::-1]
    found, differing, seen = changed_answers(batches, engine("before", scores), engine("after", others))
    expected = np.flatnonzero(scores.argmax(1) != others.argmax(1))
    assert (differing, seen) == (len(expected), 100)
    assert [c.sample for c in found] == expected[:MOST_SHOWN].tolist()
    assert all((c.label, c.before) == (c.sample % 3, c.sample % 3) for c in found)
    assert all(c.png is not None for c in found)


def test_pictures_are_those_of_the_inputs() -> None:
    sample = np.random.default_rng(0).normal(size=(3, 10, 12)).astype(np.float32)
    png = as_png(sample)
    assert png is not None
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    stretched = (sample - sample.min()) / (sample.max() - sample.min()) * 255
    np.testing.assert_allclose(pixels, stretched.transpose(1, 2, 0), atol=0.51)


@pytest.mark.parametrize("shape", [(5,), (2, 10, 12), (1, 2, 2), (3, 3, 3, 3), (1, 49, 2)])
def test_what_is_no_picture_has_none(shape: tuple[int, ...]) -> None:
    assert as_png(np.zeros(shape, np.float32)) is None


def layer(name: str, snr: float | None) -> Layer:
    return Layer(name, "Conv", name, "codes", "", snr_db=snr)


def test_the_steepest_fall_is_named() -> None:
    falls = [layer("a", 40.0), layer("b", 35.0), layer("c", None), layer("d", 38.0), layer("e", 15.0), layer("f", float("inf"))]
    found = steepest_fall(falls)
    assert found is not None
    assert (found[0].name, found[1:]) == ("e", (35.0, 15.0))
    assert steepest_fall(falls[:1]) is None


def accuracy(after: float) -> tuple[Figure, ...]:
    return (Figure("top-1 accuracy", 0.9, after, "share"),)


@pytest.mark.parametrize(("after", "mood"), [(0.9, "good"), (0.899, "good"), (0.895, "look"), (0.8, "act")])
def test_the_verdict_follows_accuracy(after: float, mood: str) -> None:
    assert advise(Report("x", accuracy(after)))[0].mood == mood


@pytest.mark.parametrize(("ratio", "mood", "apart"), [(40.0, "good", "1 %"), (20.0, "look", "10 %"), (6.02, "act", "50 %"),
                                                      (float("inf"), "good", "0 %")])
def test_outputs_that_are_no_answers_are_judged_by_their_noise(ratio: float, mood: str, apart: str) -> None:
    verdict = advise(Report("x", (Figure("signal to noise of the outputs", None, ratio, "decibels"),)))[0]
    assert verdict.mood == mood
    assert f" {apart} of their rms" in verdict.text


def test_one_scale_for_uneven_channels_is_seen() -> None:
    nothing = Significant((), (), (), 0)
    weight = Tensor("w", "weight", "", nothing, "int8", channels=Channels(0, (-1.0, -1.0, -100.0), (1.0, 1.0, 0.0)))
    said = [a.text for a in advise(Report("x", accuracy(0.5), tensors=(weight,)))]
    assert any("granularity" in text and "100 times" in text for text in said)
    assert not any("granularity" in a.text for a in advise(Report("x", accuracy(0.5), tensors=(
        Tensor("w", "weight", "", nothing, "int8", blocks=3, channels=weight.channels),))))
