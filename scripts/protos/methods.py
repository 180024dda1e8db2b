"""What the descriptor set says about the methods: which are public, under which paths, for whom."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from mamie_rosa.options.v1 import options_pb2

PACKAGE = "mamie_rosa"
DEFAULT_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class PublicMethod:
    """A method that clients reach over REST, as its proto declares it.

    `access` is a name of mamie_rosa.options.v1.Access. `streams` says that it answers with a
    stream.
    """

    service: str
    method: str
    verb: str
    path: str
    input_type: str
    access: str
    timeout_seconds: int
    streams: bool

    @property
    def folder(self) -> str:
        """Return the folder of its service, such as "orders" of mamie_rosa.orders.v1."""
        return self.service.split(".")[1]

    @property
    def grpc_path(self) -> str:
        """Return its path for gRPC clients."""
        return f"/{self.service}/{self.method}"

    @property
    def path_fields(self) -> list[str]:
        """Return the fields that its REST path binds, such as "id" of /api/orders/{id}."""
        return re.findall(r"{([a-z0-9_.]+)", self.path)

    @property
    def path_regex(self) -> str:
        """Return a regular expression for its REST path, with or without a slash at the end."""
        parts = re.split(r"({[^}]*})", self.path)
        return "".join(map(_part_regex, parts)).removesuffix("/") + "/?"


def _part_regex(part: str) -> str:
    """Return a regular expression for a part of a path: fixed, one segment, or all that follow."""
    if not part.startswith("{"):
        return re.escape(part)
    return ".*" if part.endswith("=**}") else "[^/]+"


def public_methods(descriptor_set: Path) -> list[PublicMethod]:
    """Return every method that has an HTTP rule."""
    return list(_public_methods(_files(descriptor_set)))


def _public_methods(files: descriptor_pb2.FileDescriptorSet) -> Iterator[PublicMethod]:
    for name, service in _services(files):
        for method in service.method:
            rule = method.options.Extensions[annotations_pb2.http]
            if verb := rule.WhichOneof("pattern"):
                options = method.options.Extensions
                yield PublicMethod(
                    service=name,
                    method=method.name,
                    verb=verb.upper(),
                    path=getattr(rule, verb),
                    input_type=method.input_type,
                    access=options_pb2.Access.Name(options[options_pb2.access]),
                    timeout_seconds=options[options_pb2.timeout_seconds] or DEFAULT_TIMEOUT_SECONDS,
                    streams=method.server_streaming,
                )


def public_services(descriptor_set: Path) -> list[str]:
    """Return the services that have a public method, sorted."""
    return sorted({method.service for method in public_methods(descriptor_set)})


def internal_methods(descriptor_set: Path) -> list[str]:
    """Return the gRPC path of every method in our package that is not public, sorted."""
    public = {method.grpc_path for method in public_methods(descriptor_set)}
    ours = {
        f"/{name}/{method.name}"
        for name, service in _services(_files(descriptor_set))
        for method in service.method
    }
    return sorted(ours - public)


def path_fields(descriptor_set: Path) -> list[str]:
    """Return the fields that paths bind, in every spelling that a query allows, sorted."""
    names = {name for method in public_methods(descriptor_set) for name in method.path_fields}
    return sorted(names | {_camel_case(name) for name in names})


def _camel_case(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def query_fields(descriptor_set: Path) -> set[str]:
    """Return the fields of requests without a body that a query has to fill."""
    files = _files(descriptor_set)
    fields = {
        f".{file.package}.{message.name}": [field.name for field in message.field]
        for file in files.file
        for message in file.message_type
    }
    return {
        name
        for method in _public_methods(files)
        if method.verb == "GET"
        for name in set(fields[method.input_type]) - set(method.path_fields)
    }


def _services(
    files: descriptor_pb2.FileDescriptorSet,
) -> Iterator[tuple[str, descriptor_pb2.ServiceDescriptorProto]]:
    """Yield the services of our package, with their full names."""
    for file in files.file:
        if file.package.split(".")[0] == PACKAGE:
            for service in file.service:
                yield f"{file.package}.{service.name}", service


def _files(descriptor_set: Path) -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes())
