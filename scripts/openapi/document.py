"""The OpenAPI document: what base.yaml says, and the paths and messages of the protos."""

from pathlib import Path
from typing import Any

import yaml

from scripts.openapi.examples import curl, read_examples
from scripts.openapi.operations import Operations
from scripts.openapi.protos import Protos
from scripts.openapi.reasons import read_reasons

BASE = Path(__file__).parent / "base.yaml"


def openapi(protos: Protos) -> dict[str, Any]:
    """Return the document of all public methods; the same protos give the same document."""
    document: dict[str, Any] = yaml.safe_load(BASE.read_text())
    operations = Operations(protos, read_reasons(), read_examples())
    paths = operations.paths()
    for path, methods in paths.items():
        for verb, operation in methods.items():
            sample = {"lang": "Shell", "source": curl(path, operation, verb)}
            operation["x-codeSamples"] = [sample]
    document["paths"] = paths
    document["components"]["responses"] = dict(sorted(operations.failures.components.items()))
    found = operations.answers.components | operations.requests.components
    document["components"]["schemas"] |= dict(sorted(found.items()))
    return document
