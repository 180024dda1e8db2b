"""What the descriptor set says about the methods: which are public, under which paths."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

PACKAGE = "mamie_rosa"


class PublicMethod(NamedTuple):
    """A method that clients reach over REST: its full names, and its path's template."""

    service: str
    method: str
    verb: str
    path: str
    input_type: str

    @property
    def grpc_path(self) -> str:
        """Return its path for gRPC clients."""
        return f"/{self.service}/{self.method}"

    @property
    def path_fields(self) -> list[str]:
        """Return the fields that its REST path binds, such as "id" of /api/orders/{id}."""
        return re.findall(r"{([a-z0-9_.]+)", self.path)


def public_methods(descriptor_set: Path) -> list[PublicMethod]:
    """Return every method that has an HTTP rule."""
    return list(_public_methods(_files(descriptor_set)))


def _public_methods(files: descriptor_pb2.FileDescriptorSet) -> Iterator[PublicMethod]:
    for name, service in _services(files):
        for method in service.method:
            rule = method.options.Extensions[annotations_pb2.http]
            if verb := rule.WhichOneof("pattern"):
                path = getattr(rule, verb)
                yield PublicMethod(name, method.name, verb.upper(), path, method.input_type)


def public_services(descriptor_set: Path) -> list[str]:
    """Return the services that have a public method, sorted."""
    return sorted({method.service for method in public_methods(descriptor_set)})


def internal_methods(descriptor_set: Path) -> list[str]:
    """Return the gRPC path of every method of ours that is not public, sorted."""
    public = {method.grpc_path for method in public_methods(descriptor_set)}
    ours = {
        f"/{name}/{method.name}"
        for name, service in _services(_files(descriptor_set))
        for method in service.method
    }
    return sorted(ours - public)


def path_fields(descriptor_set: Path) -> list[str]:
    """Return the fields that paths bind, in every spelling that a query could use, sorted."""
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
    """Yield our services, with their full names."""
    for file in files.file:
        if file.package.split(".")[0] == PACKAGE:
            for service in file.service:
                yield f"{file.package}.{service.name}", service


def _files(descriptor_set: Path) -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes())
