"""Check the edge: Envoy accepts its configuration, and no method was forgotten or let out."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.edge.certificate import ensure_certificate
from scripts.edge.program import envoy_program
from scripts.edge.render import render_envoy
from scripts.paths import DESCRIPTORS
from scripts.protos import methods
from scripts.protos.methods import PublicMethod

TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
TOKENS = "envoy.filters.http.jwt_authn"
NOWHERE = "nowhere"
STREAMING = {"mamie_rosa.orders.v1.OrderEventsService": "order-events"}
"""Services that a server of their own streams, and the cluster that it is."""

Json = dict[str, Any]


def main() -> int:
    """Return 0 when the edge is as it should be; else say what is not."""
    with tempfile.TemporaryDirectory() as scratch:
        file = render_sample(Path(scratch))
        problems = [*find_problems(json.loads(file.read_text()), DESCRIPTORS), *refusal(file)]
    for problem in problems:
        print(f"edge: {problem}", file=sys.stderr)
    if not problems:
        public = len(methods.public_methods(DESCRIPTORS))
        hidden = len(methods.internal_methods(DESCRIPTORS))
        print(f"edge: Envoy takes it; {public} methods are public, {hidden} are out of reach")
    return 1 if problems else 0


def render_sample(folder: Path) -> Path:
    """Return the configuration, rendered with sample values."""
    certificate, private_key = ensure_certificate(folder)
    return render_envoy(
        output=folder / "envoy.json",
        http_port=8080,
        https_port=8443,
        admin_port=9901,
        xds_addresses=[("127.0.0.1", 18000), ("127.0.0.1", 18001)],
        rate_limit_per_minute=100,
        login_rate_limit_per_minute=10,
        certificate=certificate,
        private_key=private_key,
        descriptor_set=DESCRIPTORS,
    )


def refusal(file: Path) -> list[str]:
    """Return why Envoy does not take a configuration; nothing when it does."""
    command = [str(envoy_program()), "--mode", "validate", "--log-level", "critical"]
    done = subprocess.run([*command, "-c", str(file)], capture_output=True, text=True, check=False)
    return [done.stderr.strip()] if done.returncode else []


def find_problems(configuration: Json, descriptor_set: Path) -> Iterator[str]:
    """Yield what is wrong with a configuration, for the methods of a descriptor set."""
    manager = public_manager(configuration)
    public = methods.public_methods(descriptor_set)
    internal = methods.internal_methods(descriptor_set)
    yield from _transcoded(filter_config(manager, TRANSCODER), public)
    for method in public:
        yield from _routed(manager["route_config"]["virtual_hosts"][0], method)
        yield from _guarded(filter_config(manager, TOKENS)["rules"], method)
    yield from _hidden(configuration, manager["route_config"]["virtual_hosts"][0], internal)
    for name in set(methods.path_fields(descriptor_set)) & methods.query_fields(descriptor_set):
        yield f"{name} is in the path of one method and in the query of another: rename one"


def public_manager(configuration: Json) -> Json:
    """Return how HTTP is spoken with the world (the same on every public port)."""
    http: Json = configuration["static_resources"]["listeners"][0]
    manager: Json = http["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def filter_config(manager: Json, name: str) -> Json:
    """Return the configuration of an HTTP filter."""
    return next(each["typed_config"] for each in manager["http_filters"] if each["name"] == name)


def _transcoded(transcoder: Json, public: Sequence[PublicMethod]) -> Iterator[str]:
    wanted = {method.service for method in public}
    for service in sorted(wanted ^ set(transcoder["services"])):
        what = "is public and not" if service in wanted else "has no public method and is"
        yield f"{service} {what} in the transcoder's list (filters.yaml)"


def _routed(virtual_host: Json, method: PublicMethod) -> Iterator[str]:
    """Yield what is wrong with a method's route: it leads to its service; reads are retried.

    Whatever does not stream is not waited for without end.
    """
    route = first_match(virtual_host["routes"], method.grpc_path)["route"]
    service = STREAMING.get(method.service, method.service.split(".")[1])
    if route["cluster"] != service:
        yield f"{method.grpc_path} leads to {route['cluster']}, not to {service} (routes.yaml)"
    is_endless = route.get("timeout") == "0s"
    if is_endless != (method.service in STREAMING):
        told = "waited for without end" if is_endless else "cut off though it streams"
        yield f"{method.grpc_path} is {told} (routes.yaml)"
    policy = route.get("retry_policy", virtual_host["retry_policy"])
    is_repeated = "unavailable" in policy["retry_on"].split(",")
    if is_repeated != (method.verb == "GET"):
        told = (
            "repeated though it changes things" if is_repeated else "not repeated though it reads"
        )
        yield f"{method.grpc_path} is {told} (routes.yaml)"


def _guarded(rules: Sequence[Json], method: PublicMethod) -> Iterator[str]:
    """Yield what is wrong with who may call a method: it is said, and the same for both ways."""
    rest_path = re.sub(r"{[^}]*}", "sample", method.path)
    rest = first_match(rules, rest_path, method.verb)
    native = first_match(rules, method.grpc_path, "POST")
    for rule, path in ((rest, f"{method.verb} {method.path}"), (native, method.grpc_path)):
        if not rule:
            yield f"{path} is neither open nor in need of a token (tokens.yaml)"
    if rest and native and ("requires" in rest) != ("requires" in native):
        yield f"{method.grpc_path} needs a token in one of REST and gRPC alone (tokens.yaml)"


def _hidden(configuration: Json, virtual_host: Json, internal: Sequence[str]) -> Iterator[str]:
    """Yield what of the internal methods can be reached, or is so much as named."""
    text = json.dumps(configuration)
    for path in internal:
        service = path.split("/")[1]
        if f'"{service}"' in text or f"/{service}/" in text:
            yield f"{service} is internal and named"
        if first_match(virtual_host["routes"], path)["route"]["cluster"] != NOWHERE:
            yield f"{path} is internal and has a route (routes.yaml)"


def first_match(entries: Sequence[Json], path: str, verb: str = "POST") -> Json:
    """Return the first route or rule that matches a request; {} when there is none."""
    return next((entry for entry in entries if _matches(entry["match"], path, verb)), {})


def _matches(match: Mapping[str, Any], path: str, verb: str) -> bool:
    verbs = [
        header["string_match"]["exact"]
        for header in match.get("headers", ())
        if header["name"] == ":method"
    ]
    return all(verb == wanted for wanted in verbs) and _matches_path(match, path)


def _matches_path(match: Mapping[str, Any], path: str) -> bool:
    if "safe_regex" in match:
        return bool(re.fullmatch(match["safe_regex"]["regex"], path))
    if "path" in match:
        return bool(path == match["path"])
    return path.startswith(match["prefix"])


if __name__ == "__main__":
    raise SystemExit(main())
