"""What to do next, in plain words, from the rows of a report: each rule is a function that has something to say, or not."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import isfinite
from typing import Literal

from bitsmith.report.rows import Advice, Figure, Layer, Report, Tensor

LARGE_DROP = 0.01           # of accuracy: a point
SMALL_DROP = 0.002
LEAST = 0.00005             # what would be shown as 0.00 points
MUCH_CLIPPED = 0.001
MUCH_LOST = 0.25
POOR_SNR = 15.0             # decibels: a fifth of the rms is wrong
GOOD_SNR = 30.0             # of outputs: a thirtieth
UNEVEN = 16.0               # ratio of channels' ranges from which one scale for all of them hurts
Rule = Callable[[Report], Advice | None]


def advise(report: Report) -> tuple[Advice, ...]:
    """All that the rules have to say, the verdict first."""
    return tuple(found for rule in RULES if (found := rule(report)) is not None)


def drop_of(report: Report) -> float | None:
    """Accuracy lost, 0..1; without labels, the share of answers that differ."""
    accuracy = figure(report, "top-1 accuracy")
    if accuracy is not None and accuracy.before is not None and accuracy.after is not None:
        return accuracy.before - accuracy.after
    same = figure(report, "same answer")
    return None if same is None or same.after is None else 1 - same.after


def figure(report: Report, name: str) -> Figure | None:
    return next((f for f in report.figures if f.name == name), None)


def mood_of(drop: float | None, snr_db: float | None) -> Literal["good", "look", "act"]:
    """By accuracy that was lost, or answers that differ; where there are no answers, by the signal-to-noise ratio of the outputs."""
    if drop is not None:
        return "good" if drop <= SMALL_DROP else "look" if drop <= LARGE_DROP else "act"
    return "act" if snr_db is None or snr_db < POOR_SNR else "look" if snr_db < GOOD_SNR else "good"


def judge(report: Report) -> Advice:
    """The verdict in a sentence."""
    drop, ratio = drop_of(report), figure(report, "signal to noise of the outputs")
    if drop is None and ratio is not None and ratio.after is not None:
        return judge_outputs(ratio.after)
    if drop is None:
        return Advice("look", "Nobody measured it yet", "Give test data (--test, or --data of 'bitsmith report'), best with labels: "
                      "then this page says what quantization costs in accuracy, layer by layer.")
    labelled = figure(report, "top-1 accuracy") is not None
    what, verb = ("Accuracy", "holds") if labelled else ("The answer", "stays")
    points = f"{100 * abs(drop):.2f} points of accuracy" if labelled else f"{100 * drop:.2f} % of all answers"
    change = f"The quantized network {'gains' if drop < 0 else 'loses' if labelled else 'changes'} {points}."
    if abs(drop) < LEAST:
        change = "The quantized network answers as well as the float one."
    mood = mood_of(drop, None)
    if mood == "good":
        return Advice(mood, f"{what} {verb}", f"{change} It can be used as it is.")
    if mood == "look":
        return Advice(mood, f"{what} nearly {verb}", f"{change} What stands below may win some back.")
    return Advice(mood, "Accuracy falls" if labelled else "Many answers change", f"{change} Begin with the layers named below.")


def judge_outputs(snr_db: float) -> Advice:
    """The verdict on outputs that are numbers and no answers."""
    mood = mood_of(None, snr_db)
    title = {"good": "The outputs stay", "look": "The outputs nearly stay", "act": "The outputs change much"}[mood]
    return Advice(mood, title, f"They differ from the float network's by {100 * 10 ** (-snr_db / 20):.2g} % of their rms. As they are no "
                  "scores of classes, only your own measure says whether that will do: 'bitsmith evaluate --metric'.")


def name_worst_layer(report: Report) -> Advice | None:
    """The layer at which most of the signal drowns, which more bits or float would mend first."""
    drop, fall = drop_of(report), steepest_fall(report.layers)
    if fall is None or ((drop is None or drop <= SMALL_DROP) and fall[2] >= POOR_SNR):
        return None
    layer, before, after = fall
    return Advice("act" if (drop or 0) > LARGE_DROP else "look", f"Most is lost at '{layer.name}'",
                  f"Signal to noise falls there from {before:.1f} to {after:.1f} dB. Give it more bits, or leave it in float: in a recipe, "
                  f"[[rules]] match = \"{layer.name}\", weights = \"float\", activations = \"float\".")


def steepest_fall(layers: Sequence[Layer]) -> tuple[Layer, float, float] | None:
    """(layer, ratio before, ratio at it), in dB, where the lowest ratio so far falls furthest; None where fewer than two are known."""
    known = [(x, x.snr_db) for x in layers if x.snr_db is not None and isfinite(x.snr_db)]
    lowest = list(accumulate((ratio for _, ratio in known), min))
    falls = [(before - ratio, layer, before, ratio) for before, (layer, ratio) in zip(lowest, known[1:], strict=False) if ratio < before]
    return None if not falls else max(falls, key=lambda fall: fall[0])[1:]


def name_clipping(report: Report) -> Advice | None:
    found = worst_of(report.tensors, lambda t: t.clipped)
    if found is None or (found.clipped or 0) < MUCH_CLIPPED:
        return None
    return Advice("look", f"'{found.name}' is clipped", f"{100 * (found.clipped or 0):.2f} % of its numbers are beyond its codes. "
                  "Where accuracy suffers, try the estimator 'min_max' for it, or more calibration data.")


def name_underflow(report: Report) -> Advice | None:
    found = worst_of([t for t in report.tensors if t.role != "bias"], lambda t: t.underflow)
    if found is None or (found.underflow or 0) < MUCH_LOST:
        return None
    remedy = "a narrower range (estimator 'percentile:99.9') or 16 bits" if found.role == "activation" else "more bits"
    return Advice("look", f"'{found.name}' loses its small numbers", f"{100 * (found.underflow or 0):.1f} % of its numbers become 0: its "
                  f"range is wide beside most of them. Where accuracy suffers, try {remedy}.")


def worst_of(tensors: Sequence[Tensor], share: Callable[[Tensor], float | None]) -> Tensor | None:
    return max((t for t in tensors if share(t) is not None), key=lambda t: share(t) or 0.0, default=None)


def name_uneven_weights(report: Report) -> Advice | None:
    """Weights with one scale whose channels need very different ones."""
    def ratio(tensor: Tensor) -> float:
        if tensor.role != "weight" or tensor.channels is None or tensor.blocks > 1 or not tensor.format:
            return 0.0
        widths = sorted(max(-low, high) for low, high in zip(tensor.channels.low, tensor.channels.high, strict=True))
        return widths[-1] / max(widths[len(widths) // 2], 1e-30)

    worst = max(report.tensors, key=ratio, default=None)
    if worst is None or ratio(worst) < UNEVEN:
        return None
    return Advice("act", f"'{worst.name}' needs a scale for each channel",
                  f"Its widest channel is {ratio(worst):.0f} times as wide as its middle one. Say granularity = \"channel\" in the recipe.")


def name_float(report: Report) -> Advice | None:
    """What stays float, and how much of the work that is."""
    there = [x for x in report.layers if x.state == "float"]
    if is_unread(report):
        return Advice("look", "No codes were found in the quantized file", "It may hold them in a form that bitsmith does not read, as "
                      "integer operators of a runtime's own are. Layers and ranges below are those of the float network; accuracy, answers "
                      "and sizes are the file's own.")
    if not there:
        return Advice("good", "Nothing stays float", "Every layer computes on codes.") if report.layers else None
    all_macs, macs = (sum(x.macs or 0 for x in part) for part in (report.layers, there))
    names = ", ".join(f"'{x.name}'" for x in there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
    share = f"{100 * macs / all_macs:.0f} % of the multiply-accumulates" if all_macs else "no multiply-accumulates"
    reasons = {x.reason for x in there}
    text = f"{names}: {share}. " + ("The reason: " + reasons.pop() if len(reasons) == 1 else "The reasons stand in the table of layers")
    return Advice("look", f"{len(there)} layers stay float" if len(there) > 1 else "One layer stays float", text.rstrip(".") + ".")


def is_unread(report: Report) -> bool:
    """Whether layers are known and none has any codes."""
    return bool(report.layers) and not any(t.format for t in report.tensors) and all(x.state in ("float", "other") for x in report.layers)


def name_saturating_pairs(report: Report) -> Advice | None:
    """Layers whose sums saturate on some processors, and did on these data."""
    could = [x for x in report.layers if x.sums is not None and x.sums.pairs]
    did = [x for x in could if x.sums is not None and x.sums.saturated]
    if not could:
        return None
    seen = f"; in {len(did)} of them some do on the test data" if did else ""
    layers = f"{len(could)} layers" if len(could) > 1 else "one layer"
    text = (f"There, onnxruntime adds pairs of products up in 16 bits, which {layers} can leave{seen}. "
            "Set its session option session.x64quantprecision to 1, or give weights 7 bits.")
    return Advice("look", "Sums can saturate on x86 processors without VNNI", text)


RULES: tuple[Rule, ...] = (
    judge, name_worst_layer, name_uneven_weights, name_clipping, name_underflow, name_saturating_pairs, name_float,
)
