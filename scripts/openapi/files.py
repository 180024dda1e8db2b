"""The files of the documents, which are committed beside what serves them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.openapi.asyncapi import asyncapi
from scripts.openapi.document import openapi
from scripts.openapi.grpc_reference import grpc_reference
from scripts.openapi.protos import Protos
from scripts.paths import DESCRIPTORS, ROOT

FOLDER = ROOT / "services" / "storefront" / "reference"


def write() -> None:
    """Write every document as the protos have it now."""
    for path, text in _texts().items():
        path.write_text(text)


def stale() -> list[Path]:
    """Return the files that differ from what the protos have now."""
    return [
        path for path, text in _texts().items() if not path.exists() or path.read_text() != text
    ]


def _texts() -> Mapping[Path, str]:
    protos = Protos.read(DESCRIPTORS)
    documents = {
        "openapi.json": openapi(protos),
        "asyncapi.json": asyncapi(protos),
        "grpc.json": grpc_reference(protos),
    }
    return {FOLDER / name: _text(document) for name, document in documents.items()}


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
