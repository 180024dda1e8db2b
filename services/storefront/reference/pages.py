"""The documents of the API, and the pages that show them, as they are sent.

The documents are generated from the protos (scripts/openapi) and lie beside this module. Pages are
HTML and CSS alone: no script, nothing from another host.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from google.api import httpbody_pb2
from markupsafe import Markup, escape

FOLDER = Path(__file__).parent
CODE = re.compile(r"`([^`]+)`")
STRONG = re.compile(r"\*\*([^*]+)\*\*")


def load() -> Mapping[str, httpbody_pb2.HttpBody]:
    """Return every file by its name; pages are rendered once."""
    openapi, asyncapi, grpc = (_read(name) for name in ("openapi", "asyncapi", "grpc"))
    render = _environment().get_template
    pages = {
        "api.html": render("api.html").render(document=openapi, groups=_groups(openapi)),
        "grpc.html": render("grpc.html").render(document=grpc),
        "events.html": render("events.html").render(document=asyncapi),
    }
    return {
        "openapi.json": _file("openapi.json", "application/json"),
        "asyncapi.json": _file("asyncapi.json", "application/json"),
        "style.css": _file("style.css", "text/css; charset=utf-8"),
        **{name: _body("text/html; charset=utf-8", page.encode()) for name, page in pages.items()},
    }


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def _file(name: str, content_type: str) -> httpbody_pb2.HttpBody:
    return _body(content_type, (FOLDER / name).read_bytes())


def _body(content_type: str, data: bytes) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type=content_type, data=data)


def _groups(openapi: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the operations of each tag, each with its path and its verb."""
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in openapi["tags"]}
    for path, methods in openapi["paths"].items():
        for verb, operation in methods.items():
            described = {**operation, "path": path, "verb": verb.upper()}
            groups.setdefault(operation["tags"][0], []).append(described)
    return {tag: operations for tag, operations in groups.items() if operations}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"text": to_html, "json": to_json, "short": short, "rules": rules}
    environment.globals["resolve"] = resolve
    return environment


def to_html(text: str) -> Markup:
    """Convert paragraphs, lists, `code` and **strong** of a comment to HTML."""
    return Markup("").join(_block(block) for block in text.strip().split("\n\n"))


def _block(block: str) -> Markup:
    if block.startswith(" "):
        return Markup("<pre>{}</pre>").format(block)
    if block.startswith("- "):
        items = [_inline(line.removeprefix("- ")) for line in block.splitlines()]
        return Markup("<ul>{}</ul>").format(
            Markup("").join(map(Markup("<li>{}</li>").format, items))
        )
    return Markup("<p>{}</p>").format(_inline(block))


def _inline(text: str) -> Markup:
    marked = CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(STRONG.sub(r"<strong>\1</strong>", marked))  # noqa: S704 - escaped above


def to_json(value: object) -> str:
    """Return JSON as people read it; a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def short(name: str) -> str:
    """Return the last part of a full name or a reference."""
    return re.split(r"[./]", name)[-1]


def resolve(document: Mapping[str, Any], described: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference means, or the description itself."""
    found: Any = document
    if "$ref" not in described:
        return described
    for part in described["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Mapping[str, Any] = found
    return resolved


BOUNDS = {
    "minLength": "length from {}",
    "maxLength": "length to {}",
    "minItems": "items from {}",
    "maxItems": "items to {}",
    "minimum": "from {}",
    "maximum": "to {}",
}


def rules(schema: Mapping[str, Any]) -> str:
    """Return the rules of a value as people read them, without what every value has."""
    whole = {"minimum": -(2**31), "maximum": 2**31 - 1, "maxItems": 1000}
    found = [
        text.format(schema[name])
        for name, text in BOUNDS.items()
        if name in schema and schema[name] != whole.get(name)
    ]
    if "enum" in schema:
        found.append("one of " + ", ".join(map(repr, schema["enum"])))
    if "not" in schema:
        found.append("not " + ", ".join(map(str, schema["not"]["enum"])))
    return "; ".join(found)
