"""Thousands of random integer programs as C, under sanitizers: every output code against the program. For a night, not for the tests.

    python benchmarks/random_c.py [--count 2000] [--seed 0] [--compiler gcc]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from compiled_c import assert_same_codes
from random_programs import random_case

AT_A_TIME = 25


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--count", type=int, default=2000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--compiler", default="gcc")
    given = asked.parse_args()
    began, steps = time.perf_counter(), 0
    for start in range(given.seed, given.seed + given.count, AT_A_TIME):
        seeds = range(start, min(start + AT_A_TIME, given.seed + given.count))
        cases = [random_case(seed, powers=seed % 3 == 0) for seed in seeds]
        steps += sum(len(case.program.instructions) for case in cases)
        with tempfile.TemporaryDirectory() as folder:
            try:
                assert_same_codes(cases, Path(folder), compiler=given.compiler)
            except AssertionError as problem:
                sys.exit(f"seeds {seeds.start} to {seeds.stop - 1}:\n{problem}")
        print(f"seeds up to {seeds.stop - 1}: 0 codes differ ({time.perf_counter() - began:.0f} s)", flush=True)
    print(f"{given.count} programs of {steps} instructions, seeds {given.seed} to {given.seed + given.count - 1}, {given.compiler}: "
          f"0 codes differ ({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
