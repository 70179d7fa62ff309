"""The commands that count the values of a network, in one process or in several, and put the counts together."""

import typer

from bitsmith.cli_options import (
    AsJson,
    ChannelsOf,
    Counted,
    CountedFiles,
    Images,
    Limit,
    Network,
    PerChannel,
    Processes,
    Samples,
    Shard,
)
from bitsmith.cli_parts import in_shard, open_samples, show
from bitsmith.errors import DataError
from bitsmith.files import check_output

counting = typer.Typer()


@counting.command()
def calibrate(
    network: Network,
    data: Samples,
    output: Counted,
    per_channel: PerChannel = False,
    channels_of: ChannelsOf = None,
    shard: Shard = None,
    processes: Processes = None,
    image: Images = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Count every value of a network in one pass over data; the file serves every recipe.

    \b
    Examples:
      bitsmith calibrate net.onnx --data calibration.npz -o net.stats
      bitsmith calibrate net.onnx --data calibration.npz --shard 3/8 -o part3.stats
      torchrun --nproc-per-node 8 --no-python bitsmith calibrate net.onnx
        --data calibration.npz --shard env -o 'part{shard}.stats'
    """
    from bitsmith import display, workflow
    from bitsmith.calibration.statistics_file import save_statistics
    from bitsmith.shards import calibrate_in_shards, parse_shard
    from bitsmith.terminal import progress_bar

    part = None if shard is None else parse_shard(shard)
    output = output if part is None else in_shard(output, part)
    check_output(output)
    if processes is not None and (part or image or limit or channels_of):
        raise DataError("--processes divides a whole file of samples by itself; leave --shard, --image, --limit and --channels-of out.")
    with progress_bar("calibrating") as advance:
        if processes is not None:
            found = calibrate_in_shards(network, data, processes, processes=processes, per_channel=per_channel, progress=advance)
        else:
            loaded = workflow.load(network)
            samples = open_samples(data, loaded, image, limit)
            samples = samples if part is None else samples.shard(*part)
            found = workflow.calibrate(loaded, samples, progress=advance, per_channel=channels_of or per_channel)
    save_statistics(found, output)
    show(display.show_statistics(found, output), display.statistics_data(found, output), as_json)


@counting.command()
def merge(
    statistics: CountedFiles,
    output: Counted,
    as_json: AsJson = False,
) -> None:
    """Merge statistics, or sensitivities, of the same network from several runs, exactly. Give shards in their order.

    \b
    Examples:
      bitsmith merge part1.stats part2.stats -o net.stats
      bitsmith merge part1.json part2.json -o net.sensitivity.json
    """
    from functools import reduce

    from bitsmith import display, display_sensitivity
    from bitsmith.analysis.sensitivity_file import load_sensitivity, merge_sensitivities
    from bitsmith.calibration.statistics_file import load_statistics, save_statistics

    check_output(output)
    if all(path.suffix == ".json" for path in statistics):
        merged = merge_sensitivities([load_sensitivity(path) for path in statistics])
        merged.save(output)
        show([*display_sensitivity.show_sensitivity(merged), display.wrote([output])], merged.to_dict(), as_json)
        return
    found = reduce(lambda a, b: a.merge(b), (load_statistics(path) for path in statistics))
    save_statistics(found, output)
    show(display.show_statistics(found, output), display.statistics_data(found, output), as_json)
