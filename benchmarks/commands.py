"""Whole commands as users start them, this build against another: wall time, processor time and peak memory.

    python -m benchmarks.commands [--photos FOLDER] [--large PHOTO] [--pairs IMAGES MASKS] [--demo]
        [--against TOOLKIT] [--json FILE]

Rows: one photo from a cold process, a folder of photos with all pictures and with masks alone, in fp32 and bf16, one
large photo with and without refinement, the demo, and an evaluation. The builds take turns; what is printed is the
median of three rounds and, after +-, half the distance between the fastest and the slowest. Beside them stands the
physical limit: importing torch, decoding and encoding the large photo, and reading the folder. On busy machines
processor time is the figure to compare.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import record

ROUNDS = 3
READ = "import sys\nfrom pathlib import Path\nfrom toolkit.pictures.photos import read_photo\n"
READ_ALL = READ + "for path in sorted(Path(sys.argv[1]).iterdir()): read_photo(path)"
DECODE_ENCODE = READ + "from toolkit.pictures.png import png_bytes\npng_bytes(read_photo(Path(sys.argv[1])))"
IMPORT_TORCH = "from toolkit.imports import import_torch; import_torch(); import os; os._exit(0)"
Figures = dict[str, float]


def measured(words: list[str]) -> Figures:
    """Run a program; return its wall seconds, processor seconds, and peak megabytes."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {said}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / _PEAK_UNIT}


_PEAK_UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss in a megabyte


def by_turns(ways: dict[str, list[str]], rounds: int = ROUNDS) -> dict[str, list[Figures]]:
    """Return each way's figures, round by round, after none to warm up: files are read from memory from the second."""
    found: dict[str, list[Figures]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, words in ways.items():
            with tempfile.TemporaryDirectory() as out:
                found[name].append(measured([word.replace("OUT", out) for word in words]))
    return found


def columns(ways: dict[str, list[Figures]]) -> dict[str, dict[str, list[float]]]:
    """Return each way's figures as a record has them: by name, round by round."""
    return {way: {name: [each[name] for each in rounds] for name in rounds[0]} for way, rounds in ways.items()}


def summed_up(rounds: list[Figures]) -> dict[str, tuple[float, float]]:
    """Return the median of each figure and half its range."""
    figures = columns({"way": rounds})["way"]
    return {name: (statistics.median(column), (max(column) - min(column)) / 2) for name, column in figures.items()}


def rows(given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the words after `toolkit` of each row."""
    found = {}
    if given.photos is not None:
        folder = str(given.photos)
        found["one photo, cold"] = ["predict", str(sorted(given.photos.iterdir())[0]), "--precision", "fp32"]
        for precision in ("fp32", "bf16"):
            found[f"folder, {precision}"] = ["predict", folder, "--precision", precision]
            found[f"folder, masks, {precision}"] = ["predict", folder, "--write", "mask", "--precision", precision]
    if given.large is not None:
        found["large photo"] = ["predict", str(given.large), "--precision", "fp32"]
        found["large photo, refined"] = ["predict", str(given.large), "--precision", "fp32", "--refine"]
    if given.demo:
        found["demo"] = ["demo"]
    if given.pairs is not None:
        found["eval"] = ["eval", "--photos", given.pairs[0], "--masks", given.pairs[1]]
    return {name: [*words, "--out", "OUT/out"] for name, words in found.items()}


def limits(given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the programs that do no more than what cannot be left out."""
    found = {"importing torch": [sys.executable, "-c", IMPORT_TORCH]}
    if given.photos is not None:
        found["reading the folder"] = [sys.executable, "-c", READ_ALL, str(given.photos)]
    if given.large is not None:
        found["decoding and encoding"] = [sys.executable, "-c", DECODE_ENCODE, str(given.large)]
    return found


def shown(figures: dict[str, tuple[float, float]]) -> str:
    (wall, wall_off), (cpu, cpu_off), (peak, _) = (figures[name] for name in ("wall", "cpu", "peak"))
    return f"{wall:6.2f} +-{wall_off:.2f} s  cpu {cpu:6.2f} +-{cpu_off:.2f} s  {peak:5.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of photos")
    parser.add_argument("--large", type=Path, help="one large photo")
    parser.add_argument("--pairs", nargs=2, metavar=("IMAGES", "MASKS"), help="folders to evaluate on")
    parser.add_argument("--demo", action="store_true", help="the whole demo too: minutes a round")
    parser.add_argument("--against", help="the toolkit command of another build")
    parser.add_argument("--only", help="rows, semicolons between them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    record.add_flag(parser, "--out")
    given = parser.parse_args()
    builds = {"this build": str(Path(sys.executable).with_name("toolkit"))}
    builds |= {"other build": given.against} if given.against else {}
    kept: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, words in limits(given).items():
        found = {"limit": by_turns({name: words}, given.rounds)[name]}
        kept[name] = columns(found)
        print(f"{name:<24} {shown(summed_up(found['limit']))}", flush=True)
    for name, words in rows(given).items():
        if given.only and name not in given.only.split(";"):
            continue
        found = by_turns({build: [command, *words] for build, command in builds.items()}, given.rounds)
        kept[name] = columns(found)
        figures = {build: summed_up(each) for build, each in found.items()}
        for build, each in figures.items():
            print(f"{name:<24} {shown(each)}  {build}", flush=True)
        if given.against:
            wall, cpu = (figures["other build"][f][0] / figures["this build"][f][0] for f in ("wall", "cpu"))
            print(f"{name:<24} {wall:.2f}x wall, {cpu:.2f}x cpu", flush=True)
    record.write(given.json, "commands", kept, given.rounds)


if __name__ == "__main__":
    main()
