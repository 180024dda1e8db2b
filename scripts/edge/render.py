"""Renders `envoy/` into the file that Envoy reads.

The sources are plain Envoy YAML, with four additions:

    $NAME           as a whole value stands for a value that varies, such as a port
    !include FILE   stands for the contents of a file beside it (its text, if it is not YAML)
    !errors FILE    stands for the local reply mappers of a table of errors (errors.yaml)
    !methods {KIND: FILE}
                    in a list stands for a file's contents once for each public method of that
                    kind: READ (GET), CHANGE (any other verb), STREAM, or an Access of the
                    protos, such as ANYONE. In the file $METHOD, $VERB, $PATH_REGEX, $CLUSTER,
                    $TIMEOUT, $DEADLINE and $DROPPED_HEADERS are those of the method.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack
from urllib.parse import urlsplit

import grpc
import yaml

from scripts.edge.listeners import move_listeners
from scripts.edge.service_errors import lua_table
from scripts.edge.utf8 import VALID_PATH
from scripts.manifests import read_services
from scripts.paths import ROOT
from scripts.protos import methods
from scripts.protos.methods import PublicMethod
from services.common.manifest import Manifest

SOURCES = ROOT / "envoy"
DOMAIN = "mamie-rosa"
TYPE = "type.googleapis.com/"
EXPRESSION = TYPE + "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
ERROR_INFO = TYPE + "google.rpc.ErrorInfo"

# A request of a gRPC client. A transcoded one looks the same, but has its original path as well.
IS_GRPC = (
    "request.headers['content-type'].startsWith('application/grpc')"
    " && !('x-envoy-original-path' in request.headers)"
)


NAMED = re.compile(r"\$([A-Z][A-Z_]+)")


class UnknownValueError(ValueError):
    """A source uses a value that is not defined."""


class Values(TypedDict):
    """What varies: `http_port` here is $HTTP_PORT in a source.

    `xds_addresses` are the control planes, the first preferred. `trusted_hops` is the number
    of proxies in front whose X-Forwarded-For is trusted. `allowed_origins` is a regular
    expression for the web pages that may call the shop. `cache_folder` is created beside the
    configuration unless it is given. With `listeners_file` the listeners are written there:
    Envoy replaces them without a restart whenever the file changes. With `traces_url`, a collector,
    `trace_percent` of all requests are traced.
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
    listeners_file: NotRequired[Path]
    traces_url: NotRequired[str]
    trace_percent: NotRequired[float]


DEFAULTS: Mapping[str, Any] = {
    "trusted_hops": 0,
    "host": "127.0.0.1",
    "admin_host": "127.0.0.1",
    "allowed_origins": r"http://localhost(:\d+)?",
    "jwks_cache_seconds": 300,
    "traces_url": "",
    "trace_percent": 0.0,
}


def render_envoy(*, output: Path, **given: Unpack[Values]) -> Path:
    """Write the configuration to `output` and return it."""
    values = {**DEFAULTS, **given}
    if "cache_folder" not in given:
        values["cache_folder"] = output.parent / "edge-cache"
        values["cache_folder"].mkdir(parents=True, exist_ok=True)
    values |= {
        "jwks_cache": f"{values['jwks_cache_seconds']}s",
        "keys_socket": f"@mamie-rosa-keys-{values['http_port']}",
        "control_planes": [_endpoint(*address) for address in given["xds_addresses"]],
        "valid_path": VALID_PATH,
        "service_errors": lua_table(yaml.safe_load((SOURCES / "service_errors.yaml").read_text())),
        **_values_of_methods(given["descriptor_set"]),
    }
    named = {name.upper(): value for name, value in values.items()}
    named |= _tracing(named)
    configuration = _load("envoy.yaml", named)
    if "listeners_file" in given:
        move_listeners(configuration, given["listeners_file"])
    output.write_text(json.dumps(configuration, indent=2, default=str))
    return output


def _tracing(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the tracer: None without a collector, or when nothing is traced."""
    url, percent = urlsplit(named["TRACES_URL"]), named["TRACE_PERCENT"]
    if not url.hostname or not percent:
        return {"TRACING": None, "TRACE_COLLECTORS": []}
    share = {"TRACES_PER_MILLION": round(percent * 10_000)}
    return {
        "TRACING": _load("tracing.yaml", {**named, **share}),
        "TRACE_COLLECTORS": [_endpoint(url.hostname, url.port or 80)],
    }


def _values_of_methods(descriptor_set: Path) -> dict[str, Any]:
    """Return the values that follow from the protos and the manifests."""
    public = methods.public_methods(descriptor_set)
    guarded = [method for method in public if method.access != "ANYONE"]
    return {
        "public_methods": [_values_of(method, read_services()) for method in public],
        "public_services": list(dict.fromkeys(method.service for method in public)),
        "path_fields": methods.path_fields(descriptor_set),
        "guarded_paths": f"/api/({_alternatives(m.path.split('/')[2] for m in guarded)})(/.*)?",
        "guarded_packages": rf"/mamie_rosa\.({_alternatives(m.folder for m in public)})\.v1\..*",
    }


def _values_of(method: PublicMethod, services: Sequence[Manifest]) -> dict[str, Any]:
    """Return what !methods offers for one method; `kinds` are those that it has."""
    kind = "STREAM" if method.streams else "READ" if method.verb == "GET" else "CHANGE"
    return {
        "kinds": {kind, method.access},
        "METHOD": method.grpc_path,
        "VERB": method.verb,
        "PATH_REGEX": method.path_regex,
        "CLUSTER": cluster_of(method, services),
        # The service stops working on a call a moment after Envoy has stopped waiting.
        "TIMEOUT": f"{method.timeout_seconds - 0.1:.1f}s",
        "DEADLINE": f"{method.timeout_seconds}S",
        "MAX_DURATION": f"{method.timeout_seconds}s",
        "DROPPED_HEADERS": ["authorization"] if method.access == "ANYONE" else [],
    }


def cluster_of(method: PublicMethod, services: Sequence[Manifest]) -> str:
    """Return the cluster of a method: its service, or the server that streams for it."""
    streaming = {each.name: each.streaming for each in services}
    return streaming.get(method.folder, "") if method.streams else method.folder


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(dict.fromkeys(words))


def _endpoint(address: str, port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}


def _load(name: str, values: Mapping[str, Any]) -> Any:
    """Return the contents of a source, with all additions replaced."""
    text = (SOURCES / name).read_text()
    if not name.endswith(".yaml"):
        return NAMED.sub(lambda found: str(values[found[1]]), text)
    loader = _Loader(text, values)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Entries(list[Any]):
    """Several entries of the list in which they stand."""


class _Loader(yaml.SafeLoader):
    """Reads one source; `values` are what its $NAMEs stand for."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.values = values

    def value(self, node: yaml.ScalarNode) -> Any:
        """Return the value of a $NAME."""
        name = node.value.removeprefix("$")
        if name not in self.values:
            raise UnknownValueError(f"{name} is not defined")
        return self.values[name]

    def include(self, node: yaml.ScalarNode) -> Any:
        """Return the contents of another source."""
        return _load(node.value, self.values)

    def methods(self, node: yaml.MappingNode) -> "_Entries":
        """Return the contents of the file of its kind for each public method that has one."""
        entries = _Entries()
        for kind, file in self.construct_mapping(node).items():
            for method in self.values["PUBLIC_METHODS"]:
                if kind in method["kinds"]:
                    loaded = _load(file, {**self.values, **method})
                    entries.extend(loaded if isinstance(loaded, list) else [loaded])
        return entries

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> list[Any]:
        """Return a list; what stands for several entries is replaced by them."""
        plain: list[Any] = []
        for child in node.value:
            entry = self.construct_object(child, deep=deep)
            plain.extend(entry if isinstance(entry, _Entries) else [entry])
        return plain

    def errors(self, node: yaml.ScalarNode) -> Any:
        """Return the mappers of a table of errors."""
        return list(error_mappers(_load(node.value, self.values)))


_Loader.add_implicit_resolver("!value", re.compile(r"^\$[A-Z_]+$"), ["$"])
_Loader.add_constructor("!value", _Loader.value)
_Loader.add_constructor("!include", _Loader.include)
_Loader.add_constructor("!errors", _Loader.errors)
_Loader.add_constructor("!methods", _Loader.methods)


def error_mappers(table: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield two local reply mappers for each error: for gRPC clients, and for REST."""
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
        # For what is no valid request and so has no id; the access log has this one too.
        "headers_to_add": [
            _header("x-request-id", "connection-%CONNECTION_ID%"),
            *(_header(*each) for each in error.get("headers", {}).items()),
            *headers,
        ],
        "body_format_override": body_format,
        **status_code,
    }


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}}


def _number(code: str) -> int:
    number: int = grpc.StatusCode[code].value[0]
    return number


def _as_text(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for gRPC clients: grpc-message, which is plain text."""
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
