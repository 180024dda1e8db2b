"""Renders `envoy/` into the one file that Envoy reads.

The sources are plain Envoy YAML, with three additions:

    !include FILE   stands for what a file beside it says (its text, if it is not YAML)
    !errors FILE    stands for the local reply mappers of a table of errors (errors.yaml)
    $NAME           as a whole value stands for a value that varies, such as a port
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack

import grpc
import yaml

from scripts.paths import ROOT
from scripts.protos import methods

SOURCES = ROOT / "envoy"
DOMAIN = "mamie-rosa"
TYPE = "type.googleapis.com/"
EXPRESSION = TYPE + "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
ERROR_INFO = TYPE + "google.rpc.ErrorInfo"

# A request of a gRPC client. A transcoded one looks like it, but carries the path it came with.
IS_GRPC = (
    "request.headers['content-type'].startsWith('application/grpc')"
    " && !('x-envoy-original-path' in request.headers)"
)


class UnknownValueError(ValueError):
    """A source asks for a value that nobody gives."""


class Values(TypedDict):
    """What varies: `http_port` here is $HTTP_PORT in a source.

    `xds_addresses` are the control planes, the first preferred. `trusted_hops` are the
    proxies in front whose X-Forwarded-For is believed. `allowed_origins` is a regular
    expression for the web pages that may call the shop. `cache_folder` is made beside the
    configuration unless it is given.
    """

    http_port: int
    https_port: int
    admin_port: int
    xds_addresses: Sequence[tuple[str, int]]
    rate_limit_per_minute: int
    login_rate_limit_per_minute: int
    certificate: Path
    private_key: Path
    descriptor_set: Path
    trusted_hops: NotRequired[int]
    host: NotRequired[str]
    admin_host: NotRequired[str]
    cache_folder: NotRequired[Path]
    allowed_origins: NotRequired[str]
    jwks_cache_seconds: NotRequired[int]


DEFAULTS: Mapping[str, Any] = {
    "trusted_hops": 0,
    "host": "127.0.0.1",
    "admin_host": "127.0.0.1",
    "allowed_origins": r"http://localhost(:\d+)?",
    "jwks_cache_seconds": 300,
}


def render_envoy(*, output: Path, **given: Unpack[Values]) -> Path:
    """Write the configuration to `output` and return it."""
    values = {**DEFAULTS, **given}
    if "cache_folder" not in given:
        values["cache_folder"] = output.parent / "edge-cache"
        values["cache_folder"].mkdir(parents=True, exist_ok=True)
    values |= {
        "jwks_cache": f"{values['jwks_cache_seconds']}s",
        "control_planes": [_endpoint(*address) for address in given["xds_addresses"]],
        "path_fields": methods.path_fields(given["descriptor_set"]),
    }
    named = {name.upper(): value for name, value in values.items()}
    output.write_text(json.dumps(_load("envoy.yaml", named), indent=2, default=str))
    return output


def _endpoint(address: str, port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}


def _load(name: str, values: Mapping[str, Any]) -> Any:
    """Return what a source says, with everything in its place."""
    text = (SOURCES / name).read_text()
    if not name.endswith(".yaml"):
        return text
    loader = _Loader(text, values)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Reads one source; `values` are what its $NAMEs stand for."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.values = values

    def value(self, node: yaml.ScalarNode) -> Any:
        """Return what a $NAME stands for."""
        name = node.value.removeprefix("$")
        if name not in self.values:
            raise UnknownValueError(f"nobody gives {name}")
        return self.values[name]

    def include(self, node: yaml.ScalarNode) -> Any:
        """Return what another source says."""
        return _load(node.value, self.values)

    def errors(self, node: yaml.ScalarNode) -> Any:
        """Return the mappers of a table of errors."""
        return list(error_mappers(_load(node.value, self.values)))


_Loader.add_implicit_resolver("!value", re.compile(r"^\$[A-Z_]+$"), ["$"])
_Loader.add_constructor("!value", _Loader.value)
_Loader.add_constructor("!include", _Loader.include)
_Loader.add_constructor("!errors", _Loader.errors)


def error_mappers(table: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield two local reply mappers for each error: for gRPC clients, and for all others."""
    for error in table:
        grpc_code = _header("x-grpc-code", str(_number(error.get("grpc_code", error["code"]))))
        yield _mapper(error, f"({IS_GRPC}) && ({error['when']})", _as_text(error), grpc_code)
        yield _mapper(error, error["when"], _as_json(error))


def _mapper(
    error: Mapping[str, Any],
    condition: str,
    body_format: Mapping[str, Any],
    *headers: Mapping[str, Any],
) -> dict[str, Any]:
    expression = {"@type": EXPRESSION, "expression": condition}
    status_code = {"status_code": error["status"]} if "status" in error else {}
    return {
        "filter": {"extension_filter": {"name": "when", "typed_config": expression}},
        # For what could not be read as a request, and so has no id; the access log has it too.
        "headers_to_add": [_header("x-request-id", "connection-%CONNECTION_ID%"), *headers],
        "body_format_override": body_format,
        **status_code,
    }


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}}


def _number(code: str) -> int:
    number: int = grpc.StatusCode[code].value[0]
    return number


def _as_text(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a gRPC client is told: in grpc-message, which is plain text."""
    return {"text_format_source": {"inline_string": error["message"]}}


def _as_json(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one shape that errors have in JSON, as services/common/rpc/status.py makes it."""
    detail = {
        "@type": ERROR_INFO,
        "reason": error["reason"],
        "domain": DOMAIN,
        "metadata": {"requestId": "%REQ(X-REQUEST-ID)%"},
    }
    shape = {"code": _number(error["code"]), "message": error["message"], "details": [detail]}
    return {"json_format": shape, "omit_empty_values": True}
