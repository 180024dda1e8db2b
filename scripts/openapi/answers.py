"""The responses of an operation: its success, and its errors with all their reasons."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from scripts.openapi.methods import Method
from scripts.openapi.reasons import ANY_SERVICE, EDGE, Reason
from scripts.openapi.rules import Schema
from scripts.openapi.schemas import Schemas

HTTP_BODY = "google.api.HttpBody"
JSON = "application/json"
EVERY_HEADER = ("X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
"""What every answer has that the limits have counted."""
SHARED = (ANY_SERVICE, EDGE)
"""The sections of reasons that are no method's own."""


def success(method: Method, schemas: Schemas) -> dict[str, Any]:
    """Return the response of a call that succeeded."""
    media_type = method.rest.media_type or JSON
    names = [*EVERY_HEADER, "ETag"] if method.is_read else EVERY_HEADER
    return {
        "description": "Found." if method.verb == "get" else "Done.",
        "headers": headers(*names),
        "content": {media_type: {"schema": _body(method, schemas)}},
    }


def _body(method: Method, schemas: Schemas) -> Schema:
    output = method.declared.output_type.removeprefix(".")
    if output != HTTP_BODY:
        return schemas.reference(output)
    if (method.rest.media_type or JSON) != JSON:
        return {"type": "string"}
    if not method.rest.body:
        return {"type": "object"}
    reference = schemas.reference(method.rest.body)
    name = reference["$ref"].rpartition("/")[2]
    _allow_null(schemas.components[name], set(method.rest.nullable))
    return reference


def _allow_null(schema: Schema, fields: set[str]) -> None:
    for name in sorted(fields):
        found = schema["properties"][name]
        description = found.pop("description")
        schema["properties"][name] = {
            "anyOf": [found, {"type": "null"}],
            "description": f"{description} Null when its service is unavailable.",
        }
        if name not in schema["required"]:
            schema["required"].append(name)


class Failures:
    """Collects the responses of errors; those that many methods share are components."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}

    def of(self, reasons: Iterable[Reason]) -> dict[str, Any]:
        """Return the responses of the errors of a method, by status."""
        ordered = sorted(reasons, key=lambda reason: reason.status)
        return {
            str(status): self._response(status, list(found))
            for status, found in groupby(ordered, key=lambda reason: reason.status)
        }

    def _response(self, status: int, reasons: list[Reason]) -> dict[str, Any]:
        response = failure(status, reasons)
        if not all(each.section in SHARED for each in reasons):
            return response
        # What makes a request need a token, say, adds all reasons of 401 at once.
        one = reasons[0].name.title().replace("_", "")
        name = one if len(reasons) == 1 else f"Error{status}"
        assert self.components.setdefault(name, response) == response
        return {"$ref": f"#/components/responses/{name}"}


def failure(status: int, reasons: list[Reason]) -> dict[str, Any]:
    """Return one response for all reasons with a status; `x-reasons` has them for programs."""
    names = [*EVERY_HEADER, "Retry-After"] if status == 429 else EVERY_HEADER
    return {
        "description": "\n".join(f"- `{each.name}`: {_explained(each)}" for each in reasons),
        "headers": headers(*names),
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        "x-reasons": sorted(each.name for each in reasons),
    }


def _explained(reason: Reason) -> str:
    facts = ", ".join(f"`{name}`" for name in reason.metadata)
    return f"{reason.meaning} (metadata: {facts})" if facts else reason.meaning


def not_modified() -> dict[str, Any]:
    """Return the response to a read whose answer the client has."""
    return {"description": "Nothing has changed.", "headers": headers(*EVERY_HEADER, "ETag")}


def headers(*names: str) -> dict[str, Any]:
    """Return references to headers of responses."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
