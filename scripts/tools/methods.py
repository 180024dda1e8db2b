"""What the descriptor set says about the methods: which are public, under which paths."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

OURS = "mamie_rosa."


class PublicMethod(NamedTuple):
    """A method that clients reach over REST: its full names, and its path's template."""

    service: str
    method: str
    verb: str
    path: str
    input_type: str


def public_methods(descriptor_set: Path) -> list[PublicMethod]:
    """Return every method that has an HTTP rule."""
    return list(_public_methods(_files(descriptor_set)))


def _public_methods(
    files: descriptor_pb2.FileDescriptorSet,
) -> Iterator[PublicMethod]:
    for file, service in _services(files):
        for method in service.method:
            rule = method.options.Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb:
                name = f"{file.package}.{service.name}"
                path = getattr(rule, verb)
                yield PublicMethod(name, method.name, verb.upper(), path, method.input_type)


def public_services(descriptor_set: Path) -> list[str]:
    """Return the services that have a public method, sorted."""
    return sorted({method.service for method in public_methods(descriptor_set)})


def all_services(descriptor_set: Path) -> list[str]:
    """Return the full names of all of our services, sorted."""
    files = _files(descriptor_set)
    return sorted(f"{file.package}.{service.name}" for file, service in _services(files))


def path_fields(descriptor_set: Path) -> list[str]:
    """Return the fields that paths bind, in every spelling that a query could use."""
    names: set[str] = set()
    for method in public_methods(descriptor_set):
        names |= {field for field in re.findall(r"{([a-z_.]+)", method.path)}
    return sorted(names)


def _services(files: descriptor_pb2.FileDescriptorSet):
    for file in files.file:
        if file.package.startswith(OURS) or file.package == OURS.rstrip("."):
            for service in file.service:
                yield file, service


def _files(descriptor_set: Path) -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes())
