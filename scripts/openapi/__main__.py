"""Write the documents of the API; with --check, only compare them with what is committed.

python -m scripts.openapi [--check]
"""

import sys

from scripts.openapi import files
from scripts.paths import ROOT


def main(arguments: list[str]) -> int:
    """Return 0 when the documents are up to date, or have been written."""
    if "--check" not in arguments:
        files.write()
        return 0
    stale = files.stale()
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not up to date: run scripts/gen", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
