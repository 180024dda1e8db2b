"""Write the documents of the API; with --check, only compare them with what is committed.

python -m scripts.openapi [--check]
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.openapi.asyncapi import asyncapi
from scripts.openapi.document import openapi
from scripts.openapi.grpc_reference import grpc_reference
from scripts.openapi.protos import Protos
from scripts.paths import DESCRIPTORS, ROOT

FOLDER = ROOT / "services" / "storefront" / "reference"


def main(arguments: list[str]) -> int:
    """Return 0 when the documents are up to date, or have been written."""
    documents = {FOLDER / name: _text(built) for name, built in build().items()}
    if "--check" not in arguments:
        FOLDER.mkdir(exist_ok=True)
        for path, text in documents.items():
            path.write_text(text)
        return 0
    stale = [path for path, text in documents.items() if _read(path) != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not up to date: run scripts/gen", file=sys.stderr)
    return 1 if stale else 0


def build() -> Mapping[str, Mapping[str, Any]]:
    """Return every document by its file name."""
    protos = Protos.read(DESCRIPTORS)
    return {
        "openapi.json": openapi(protos),
        "asyncapi.json": asyncapi(protos),
        "grpc.json": grpc_reference(protos),
    }


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
