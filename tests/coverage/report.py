"""Which lines of the Rust sources no test has reached; called by `./do coverage`.

    report.py LLVM DIRECTORY [CARGO-ARG…]   the directories of LLVM's tools and of the profiles

Prints a line a file, the least covered first, and leaves in DIRECTORY/uncovered.txt each line that was not reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTED = 40


@dataclass(frozen=True)
class File:
    """One source, the lines that say something, and those of them that were reached."""

    path: Path
    lines: int
    missed: tuple[int, ...]

    @property
    def share(self) -> float:
        return 1 - len(self.missed) / self.lines if self.lines else 1


def executables(arguments: list[str]) -> list[str]:
    """What the tests were built to: each crate's own, the binary and the module of Python."""
    command = [
        "cargo",
        "test",
        "--locked",
        "--no-run",
        "--message-format",
        "json",
        "-q",
        *(arguments or ["--workspace"]),
    ]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    built = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    names = [each["executable"] for each in built if each.get("executable")]
    return names + [file for each in built for file in each.get("filenames", []) if file.endswith((".so", ".dylib"))]


def read(lcov: str) -> list[File]:
    """The files of a report in lcov's form.

    >>> read("SF:/a.rs\\nDA:1,4\\nDA:2,0\\nend_of_record\\n")
    [File(path=PosixPath('/a.rs'), lines=2, missed=(2,))]
    """
    files: list[File] = []
    path, lines = Path(), dict[int, int]()
    for line in lcov.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            path, lines = Path(rest), {}
        elif kind == "DA":
            number, times, *_ = rest.split(",")
            lines[int(number)] = lines.get(int(number), 0) + int(times)
        elif kind == "end_of_record":
            files.append(File(path, len(lines), tuple(sorted(n for n, times in lines.items() if times == 0))))
    return files


def main(llvm: Path, directory: Path, arguments: list[str]) -> int:
    profile = directory / "profile"
    profiles = [str(path) for path in directory.glob("*.profraw")]
    (directory / "profiles.txt").write_text("\n".join(profiles))
    merge = [llvm / "llvm-profdata", "merge", "-sparse", "-f", directory / "profiles.txt", "-o", profile]
    # A process that was killed has left half a profile, of which nothing is read.
    subprocess.run([*map(str, merge), "--failure-mode=all"], check=True)
    built = [word for name in executables(arguments) for word in ("-object", name)]
    export = [llvm / "llvm-cov", "export", "-format=lcov", f"-instr-profile={profile}", *built]
    lcov = subprocess.run([*map(str, export), str(ROOT / "crates")], capture_output=True, text=True, check=True).stdout
    files = [file for file in read(lcov) if file.lines and "/tests" not in str(file.path)]
    told = [f"{file.path.relative_to(ROOT)}:{line}" for file in files for line in file.missed]
    (directory / "uncovered.txt").write_text("\n".join(told) + "\n")
    for file in sorted(files, key=lambda file: file.share)[:LISTED]:
        print(f"{file.share:6.1%}  {len(file.missed):5} of {file.lines:5}  {file.path.relative_to(ROOT)}")
    lines, missed = sum(file.lines for file in files), sum(len(file.missed) for file in files)
    print(f"{1 - missed / max(lines, 1):6.1%}  {missed:5} of {lines:5}  all; each line: {directory / 'uncovered.txt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
