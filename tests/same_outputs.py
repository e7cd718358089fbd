"""Whether two builds of the toolkit write the same files: every kind of command by both, byte against byte.

    OMP_NUM_THREADS=1 python -m tests.same_outputs OLD/.venv/bin/toolkit .venv/bin/toolkit --out same.json

What the commands read is made by this tree. Ends with status 1 where a file differs, is missing or is new, or where one
of the builds refuses what the other does; `--but NAME` omits files whose change is meant, by the end of their path.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules, as pytest has them

from kill_cases import Case, cases, prepare
from kills import OMITTED, contents
from safetensors.numpy import load

_NEEDS_A_SERVER = ("pull", "pull-archive")


def outcome(toolkit: Path, case: Case, shared: Path, folder: Path) -> dict[str, object]:
    """Return what one build leaves of a case: exit status, printed lines and files by path, in a new folder."""
    folder.mkdir(parents=True)
    case.place(shared, folder)
    places = {"TMPDIR": "tmp", "TOOLKIT_CACHE": "cache", "TOOLKIT_SETTINGS": "settings"}
    for name in places.values():
        (folder.parent / name).mkdir(exist_ok=True)
    environment = os.environ | {key: str(folder.parent / name) for key, name in places.items()}
    line = [str(toolkit), *map(str, case.arguments)]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return {"status": done.returncode, "error": done.stderr.strip().splitlines()[-1:], "printed": done.stdout} | {
        "files": contents(folder)
    }


def differences(before: dict, after: dict, omitted: tuple[str, ...]) -> list[str]:
    """Return a line for each way in which two outcomes of a case differ."""
    lines = []
    if before["status"] != after["status"]:
        lines.append(f"status {before['status']} {before['error']} -> {after['status']} {after['error']}")
    old, new = before["files"], after["files"]
    for path in sorted(old.keys() | new.keys()):
        if path.endswith(omitted):
            continue
        if path not in old or path not in new:
            lines.append(f"{path} is {'new' if path in new else 'missing'}")
        elif old[path] != new[path]:
            lines.append(f"{path} differs{_where(path, old[path], new[path])}")
    return lines


def _where(path: str, old: bytes, new: bytes) -> str:
    """Return where two artefacts differ, if it is in what they say of themselves alone."""
    if not path.endswith(".safetensors"):
        return ""
    one, other = load(old), load(new)
    same = one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)
    return " in its card alone" if same else ""


def compare(before: Path, after: Path, names: list[str], omitted: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the differences of each case, after running it with both builds."""
    root = Path(tempfile.mkdtemp(prefix="same-"))
    try:
        (root / "shared").mkdir()
        prepare(root / "shared")
        every = cases(root / "shared")
        table = {}
        for name in names or [name for name in every if name not in _NEEDS_A_SERVER]:
            outcomes = [
                outcome(build, every[name], root / "shared", root / kind / name / "run")
                for kind, build in (("before", before), ("after", after))
            ]
            table[name] = differences(*outcomes, (*omitted, *OMITTED.get(name, ())))
            print(f"{name}: {'; '.join(table[name]) or 'the same'}", flush=True)
        return table
    finally:
        shutil.rmtree(root)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare what two builds write.")
    parser.add_argument("before", type=Path, help="toolkit command of one build")
    parser.add_argument("after", type=Path, help="toolkit command of the other")
    parser.add_argument("--cases", default="", help="comma-separated; all of tests/kill_cases.py unless given")
    parser.add_argument("--but", action="append", default=[], help="end of the paths of files that may differ")
    parser.add_argument("--out", type=Path, help="JSON file for the differences")
    given = parser.parse_args()
    names = [name for name in given.cases.split(",") if name]
    table = compare(given.before.resolve(), given.after.resolve(), names, tuple(given.but))
    if given.out:
        given.out.write_text(json.dumps(table, indent=2))
    return int(any(table.values()))


if __name__ == "__main__":
    sys.exit(main())
