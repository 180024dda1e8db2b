"""Check the edge: Envoy accepts its configuration, which does what the protos declare."""

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
from scripts.edge.render import cluster_of, render_envoy
from scripts.manifests import read_services
from scripts.paths import DESCRIPTORS
from scripts.protos import methods
from scripts.protos.methods import PublicMethod
from services.common.manifest import Manifest

TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
TOKENS = "envoy.filters.http.jwt_authn"
NOWHERE = "nowhere"

Json = dict[str, Any]


def main() -> int:
    """Return 0 when there is no problem; otherwise print the problems."""
    with tempfile.TemporaryDirectory() as scratch:
        file = render_sample(Path(scratch))
        configuration = json.loads(file.read_text())
        problems = [*find_problems(configuration, DESCRIPTORS, read_services()), *rejection(file)]
    for problem in problems:
        print(f"edge: {problem}", file=sys.stderr)
    if not problems:
        public = len(methods.public_methods(DESCRIPTORS))
        hidden = len(methods.internal_methods(DESCRIPTORS))
        print(f"edge: Envoy accepts it; {public} methods are public, {hidden} cannot be reached")
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


def rejection(file: Path) -> list[str]:
    """Return why Envoy rejects a configuration; nothing when it accepts it."""
    command = [str(envoy_program()), "--mode", "validate", "--log-level", "critical"]
    done = subprocess.run([*command, "-c", str(file)], capture_output=True, text=True, check=False)
    return [done.stderr.strip()] if done.returncode else []


def find_problems(
    configuration: Json, descriptor_set: Path, services: Sequence[Manifest]
) -> Iterator[str]:
    """Yield what is wrong with a configuration, for the methods of a descriptor set."""
    manager = public_manager(configuration)
    public = methods.public_methods(descriptor_set)
    internal = methods.internal_methods(descriptor_set)
    yield from _declared(public, services)
    yield from _transcoded(filter_config(manager, TRANSCODER), public)
    for method in public:
        cluster = cluster_of(method, services)
        yield from _routed(manager["route_config"]["virtual_hosts"][0], method, cluster)
        yield from _guarded(filter_config(manager, TOKENS)["rules"], method)
        yield from _token_passed(manager["route_config"]["virtual_hosts"][0], method)
    yield from _hidden(configuration, manager["route_config"]["virtual_hosts"][0], internal)
    for name in set(methods.path_fields(descriptor_set)) & methods.query_fields(descriptor_set):
        yield f"{name} is in the path of one method and in the query of another: rename one"


def public_manager(configuration: Json) -> Json:
    """Return the configuration of HTTP, which is the same on every public port."""
    http: Json = configuration["static_resources"]["listeners"][0]
    manager: Json = http["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def filter_config(manager: Json, name: str) -> Json:
    """Return the configuration of an HTTP filter."""
    return next(each["typed_config"] for each in manager["http_filters"] if each["name"] == name)


def _declared(public: Sequence[PublicMethod], services: Sequence[Manifest]) -> Iterator[str]:
    """Yield the methods without access, and the manifests that contradict the protos."""
    for method in public:
        if method.access == "ACCESS_UNSPECIFIED":
            yield f"{method.grpc_path} declares no (mamie_rosa.options.v1.access)"
    wanted = {method.folder for method in public}
    found = {service.name for service in services if service.public}
    for name in sorted(wanted - found):
        yield f"{name} has public methods and is not public in its manifest"
    for name in sorted(found - wanted):
        yield f"{name} is public in its manifest and has no public method"


def _transcoded(transcoder: Json, public: Sequence[PublicMethod]) -> Iterator[str]:
    wanted = {method.service for method in public}
    for service in sorted(wanted ^ set(transcoder["services"])):
        what = "is public and not" if service in wanted else "has no public method and is"
        yield f"{service} {what} in the transcoder's list (filters.yaml)"


def _routed(virtual_host: Json, method: PublicMethod, cluster: str) -> Iterator[str]:
    """Yield what is wrong with a method's route: its cluster, its timeout, its retries.

    Only streams have no timeout; only reads are retried after any failure.
    """
    route = first_match(virtual_host["routes"], method.grpc_path)["route"]
    if route["cluster"] != cluster:
        yield f"{method.grpc_path} leads to {route['cluster']}, not to {cluster} (routes.yaml)"
    is_endless = route.get("timeout") == "0s"
    if is_endless != method.streams:
        problem = "has no timeout" if is_endless else "has a timeout though it streams"
        yield f"{method.grpc_path} {problem} (routes.yaml)"
    policy = route.get("retry_policy", virtual_host["retry_policy"])
    is_retried = "unavailable" in policy["retry_on"].split(",")
    if is_retried != (method.verb == "GET"):
        problem = "is retried though it changes state" if is_retried else "is not retried"
        yield f"{method.grpc_path} {problem} (routes.yaml)"


def _guarded(rules: Sequence[Json], method: PublicMethod) -> Iterator[str]:
    """Yield what is wrong with the token rules of a method: both paths are as it declares."""
    rest_path = re.sub(r"{[^}]*}", "sample", method.path)
    rest = first_match(rules, rest_path, method.verb)
    native = first_match(rules, method.grpc_path, "POST")
    for rule, path in ((rest, f"{method.verb} {method.path}"), (native, method.grpc_path)):
        if not rule:
            yield f"{path} has no rule (tokens.yaml)"
        elif ("requires" in rule) != (method.access != "ANYONE"):
            needs = "needs" if "requires" in rule else "does not need"
            yield f"{path} {needs} a token, and its access is {method.access} (tokens.yaml)"


def _token_passed(virtual_host: Json, method: PublicMethod) -> Iterator[str]:
    """Yield a method whose service does not receive the token, or receives one that it ignores."""
    route = first_match(virtual_host["routes"], method.grpc_path)
    is_dropped = "authorization" in route.get("request_headers_to_remove", ())
    if is_dropped != (method.access == "ANYONE"):
        what = "loses the token" if is_dropped else "receives a token that it does not need"
        yield f"{method.grpc_path} {what} (routes.yaml)"


def _hidden(configuration: Json, virtual_host: Json, internal: Sequence[str]) -> Iterator[str]:
    """Yield the internal methods that can be reached, or that are named at all."""
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
