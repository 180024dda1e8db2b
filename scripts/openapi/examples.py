"""The examples of the document, from examples.yaml, and how curl sends them.

A test runs every one of them against a running shop (tests/e2e/test_api_examples.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).parent / "examples.yaml"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One call: the values of its parameters, its body, and what it is answered."""

    parameters: Mapping[str, Any]
    request: Any = None
    response: Any = None

    def in_parameters(self, parameters: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return parameters with their values as examples."""
        return [
            {**each, "example": self.parameters[each["name"]]}
            if each.get("name") in self.parameters
            else each
            for each in parameters
        ]

    def in_response(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """Return a response with what it is answered as its example."""
        if self.response is None:
            return dict(response)
        content = {
            media_type: {**described, "example": self.response}
            for media_type, described in response["content"].items()
        }
        return {**response, "content": content}


class Examples:
    """The examples of all methods, by their names."""

    def __init__(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        self._found = found

    def of(self, method: str) -> Example:
        """Return the example of a method; an empty one when there is none."""
        found = self._found.get(method, {})
        return Example(
            parameters=found.get("parameters", {}),
            request=found.get("request"),
            response=found.get("response"),
        )


def read_examples() -> Examples:
    """Read examples.yaml."""
    return Examples(yaml.safe_load(SOURCE.read_text()))


def curl(path: str, operation: Mapping[str, Any], verb: str) -> str:
    """Return a call as a line of a shell with $SHOP, $TOKEN and, for a path, $ID."""
    parameters = operation.get("parameters", ())
    query = "&".join(
        f"{each['name']}={each['example']}"
        for each in parameters
        if each.get("in") == "query" and "example" in each
    )
    for each in parameters:
        if each.get("in") == "path":
            path = path.replace(f"{{{each['name']}}}", "$ID")
    parts = [f'curl "$SHOP{path}{"?" if query else ""}{query}"']
    if verb not in ("get", "post"):
        parts.append(f"--request {verb.upper()}")
    if operation["security"]:
        parts.append('--header "authorization: Bearer $TOKEN"')
    if any(each.get("$ref", "").endswith("/Idempotency-Key") for each in parameters):
        parts.append('--header "idempotency-key: $KEY"')
    if body := operation.get("requestBody"):
        example = body["content"]["application/json"].get("example", {})
        parts.append('--header "content-type: application/json"')
        parts.append(f"--data '{json.dumps(example, indent=2, ensure_ascii=False)}'")
    return " \\\n  ".join(parts)
