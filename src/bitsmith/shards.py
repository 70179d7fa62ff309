"""Calibration in shards: each reads its part of the data, and their statistics merge to exactly those of one process.

joblib runs the shards, on the processors of this machine or, under `joblib.parallel_config`, on a Dask or Ray cluster.
"""

import os
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path

from bitsmith.calibration.collection import Collection
from bitsmith.errors import BitsmithError, DataError
from bitsmith.loading.data import open_data
from bitsmith.workflow import calibrate, load

# what torchrun, Slurm and MPI tell each of their processes: its number from 0, and how many there are
RANKS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"))


def calibrate_in_shards(
    network: str | Path, data: str | Path, shards: int, *, processes: int = -1, per_channel: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Collection:
    """Statistics of a network file over a data file, counted by several processes. They are those of `calibrate`, to the last bit.

    shards     parts of the data; every worker must see both files under these paths
    processes  that run at once on this machine; -1: as many as processors. Under `joblib.parallel_config` its back end decides
    progress   called with (shards done, shards)

    Raises what `calibrate` raises, and BitsmithError where joblib is not installed.
    """
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise BitsmithError("Several processes need joblib: pip install 'bitsmith[parallel]'.") from None
    open_data(data, load(network)).shard(1, shards)     # what is wrong is told before anything starts
    work = (delayed(calibrate_shard)(network, data, number, shards, per_channel) for number in range(1, shards + 1))
    found: list[Collection] = []
    for done, part in enumerate(Parallel(n_jobs=processes, return_as="generator")(work), 1):
        found.append(part)
        if progress is not None:
            progress(done, shards)
    return reduce(Collection.merge, found)


def calibrate_shard(network: str | Path, data: str | Path, number: int, shards: int, per_channel: bool = False) -> Collection:
    """Statistics of one shard, numbered from 1."""
    loaded = load(network)
    return calibrate(loaded, open_data(data, loaded).shard(number, shards), per_channel=per_channel)


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """'3/8' -> (3, 8); 'env' -> this process's number, from 1, and their count, as torchrun, Slurm or MPI say. Raises DataError."""
    if text == "env":
        for rank, size in RANKS:
            if rank in environment and size in environment:
                return int(environment[rank]) + 1, int(environment[size])
        names = ", ".join(f"{rank} and {size}" for rank, size in RANKS)
        raise DataError(f"--shard env needs {names} in the environment; start with torchrun, srun or mpirun, or say for instance 3/8.")
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise DataError(f"A shard is written like 3/8, the third of eight, or 'env'; got {text!r}.")
    return int(number), int(count)
