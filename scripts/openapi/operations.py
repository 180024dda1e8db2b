"""One operation of OpenAPI for each public method."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.openapi import answers, reasons
from scripts.openapi.examples import Examples
from scripts.openapi.methods import Method, read_methods
from scripts.openapi.protos import Protos
from scripts.openapi.reasons import Reasons
from scripts.openapi.rules import NO_NUL, NOT_BLANK
from scripts.openapi.schemas import Schemas

SEGMENT = r"^(?!\.{1,2}$)[^/\\\u0000]*[^\s/\\\u0000][^/\\\u0000]*$"
"""What a segment of a path can be: the edge rejects escaped slashes and resolves dots."""


class Operations:
    """Builds operations; the schemas that they need are collected on the way."""

    def __init__(self, protos: Protos, explained: Reasons, examples: Examples) -> None:
        self._protos = protos
        self._explained = explained
        self._examples = examples
        self._methods = list(read_methods(protos))
        self.answers = Schemas(protos)
        self._results = [answers.success(method, self.answers) for method in self._methods]
        self.requests = Schemas(protos, answers=self.answers)
        self.failures = answers.Failures()

    def paths(self) -> dict[str, dict[str, Any]]:
        """Return the paths of the document."""
        paths: dict[str, dict[str, Any]] = {}
        for method, result in zip(self._methods, self._results, strict=True):
            paths.setdefault(method.path, {})[method.verb] = self._operation(method, result)
        return dict(sorted(paths.items()))

    def _operation(self, method: Method, result: dict[str, Any]) -> dict[str, Any]:
        comment = self._protos.comment(f"{method.service}.{method.declared.name}")
        summary, _, rest = comment.partition("\n\n")
        example = self._examples.of(method.declared.name)
        operation: dict[str, Any] = {
            "operationId": method.declared.name,
            "tags": [method.folder],
            "summary": summary.split(". ")[0].removesuffix("."),
            "description": _description(method, comment if ". " in summary else rest),
        }
        named = [*method.rest.headers, *(["If-None-Match"] if method.is_read else [])]
        if parameters := [*self._fields(method), *map(_header, named)]:
            operation["parameters"] = example.in_parameters(parameters)
        if method.has_body:
            operation["requestBody"] = self._body(method, example.request)
        succeeded = str(method.rest.status or 200)
        operation["responses"] = {
            succeeded: example.in_response(result),
            **({"304": answers.not_modified()} if method.is_read else {}),
            **self.failures.of(self._reasons(method)),
        }
        operation["security"] = [] if method.access == "ANYONE" else [{"token": []}]
        operation["x-access"] = method.access
        operation["x-timeout-seconds"] = method.timeout_seconds
        operation["x-grpc"] = f"/{method.service}/{method.declared.name}"
        return operation

    def _fields(self, method: Method) -> Iterator[dict[str, Any]]:
        """Yield the parameters: fields of the path, and without a body those of the query."""
        whole = self.requests.message(method.request)
        for field in self._protos.messages[method.request].field:
            schema = dict(whole["properties"][field.json_name])
            description = schema.pop("description")
            place = "path" if field.name in method.path_fields else "query"
            if place == "path" and schema.get("pattern") in (None, NO_NUL, NOT_BLANK):
                schema["pattern"] = SEGMENT  # a field with a pattern of its own keeps that
            if place == "path" or not method.has_body:
                yield {
                    "name": field.name if place == "path" else field.json_name,
                    "in": place,
                    "required": place == "path" or field.json_name in whole.get("required", ()),
                    "description": description,
                    "schema": schema,
                }

    def _body(self, method: Method, example: Any) -> dict[str, Any]:
        schema = self.requests.message(method.request, without=method.path_fields)
        name = method.request.rpartition(".")[2]
        self.requests.components[name] = schema
        content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{name}"}}
        if example is not None:
            content["example"] = example
        return {"required": True, "content": {"application/json": content}}

    def _reasons(self, method: Method) -> Sequence[reasons.Reason]:
        names = [*method.rest.reasons, *reasons.IN_EVERY_REQUEST]
        if method.access != "ANYONE":
            names += reasons.OF_TOKENS
        if method.access == "ADMIN":
            names += reasons.OF_ADMINISTRATORS
        if self._protos.messages[method.request].field or method.has_body:
            names += reasons.OF_FIELDS
        if method.has_body:
            names += reasons.OF_BODIES
        return [self._explained.find(method.folder, name) for name in dict.fromkeys(names)]


def _description(method: Method, comment: str) -> str:
    lines = {
        "ANYONE": "Needs no token.",
        "SIGNED_IN": "Needs a token.",
        "ADMIN": "Needs the token of an administrator.",
    }
    waits = f"Answered within {method.timeout_seconds} s."
    end = (
        lines[method.access]
        if method.declared.server_streaming
        else f"{lines[method.access]} {waits}"
    )
    return f"{comment}\n\n{end}".strip()


def _header(name: str) -> Mapping[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}
