"""Compare the protos with those of the main branch: `buf breaking`, without a registry."""

import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.paths import DESCRIPTORS, PROTOS, ROOT
from scripts.protos import generate

BASES = ("origin/main", "main")


def main() -> int:
    """Return 0 when these protos are compatible with those of the main branch."""
    base = next((base for base in BASES if _exists(base)), None)
    if base is None:
        print("breaking: there is no main branch to compare with", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        before = Path(scratch) / "before.binpb"
        before.write_bytes(generate.build_descriptors(_extract(base, Path(scratch))))
        compared = [str(DESCRIPTORS), "--against", str(before)]
        options = ["--config", str(PROTOS / "buf.yaml"), "--path", "mamie_rosa"]
        return subprocess.run(["buf", "breaking", *compared, *options], check=False).returncode


def _exists(revision: str) -> bool:
    command = ["git", "cat-file", "-e", f"{revision}:protos"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def _extract(revision: str, folder: Path) -> Path:
    """Return a folder with the protos as they were at a revision."""
    command = ["git", "archive", revision, "protos"]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    return folder / "protos"


if __name__ == "__main__":
    raise SystemExit(main())
