"""The messages, enums, services and comments of a descriptor set, by their full names."""

import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

MESSAGES, ENUMS, SERVICES = 4, 5, 6
"""Numbers of these fields in a file (descriptor.proto); comments are found by them."""
FIELDS, NESTED_MESSAGES, NESTED_ENUMS, VALUES, METHODS = 2, 3, 4, 2, 2
"""Of the fields in a message, an enum and a service."""

Path_ = tuple[int, ...]


class Protos:
    """What the descriptor set declares. Names are full, such as "mamie_rosa.users.v1.User"."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.files = files
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.services: dict[str, ServiceDescriptorProto] = {}
        self._comments: dict[str, str] = {}
        for file in files.file:
            for name, path in self._elements(file):
                self._comment(name, path, _locations(file))

    @classmethod
    def read(cls, descriptor_set: Path) -> "Protos":
        """Read a file such as build/descriptors.binpb."""
        return cls(descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()))

    def comment(self, name: str) -> str:
        """Return the comment of an element as paragraphs; "" without one."""
        return self._comments.get(name, "")

    def package(self, name: str) -> dict[str, DescriptorProto]:
        """Return the top-level messages of a package, in the order of its files."""
        return {
            each: message
            for each, message in self.messages.items()
            if each.rpartition(".")[0] == name
        }

    def _comment(self, name: str, path: Path_, locations: dict[Path_, str]) -> None:
        if text := locations.get(path):
            self._comments[name] = paragraphs(text)

    def _elements(self, file: FileDescriptorProto) -> Iterator[tuple[str, Path_]]:
        """Index a file; yield the name of each element and where its comment is."""
        for number, message in enumerate(file.message_type):
            yield from self._message(f"{file.package}.{message.name}", message, (MESSAGES, number))
        for number, enum in enumerate(file.enum_type):
            yield from self._enum(f"{file.package}.{enum.name}", enum, (ENUMS, number))
        for number, service in enumerate(file.service):
            name = f"{file.package}.{service.name}"
            self.services[name] = service
            yield name, (SERVICES, number)
            for at, method in enumerate(service.method):
                yield f"{name}.{method.name}", (SERVICES, number, METHODS, at)

    def _message(
        self, name: str, message: DescriptorProto, path: Path_
    ) -> Iterator[tuple[str, Path_]]:
        self.messages[name] = message
        yield name, path
        for at, field in enumerate(message.field):
            yield f"{name}.{field.name}", (*path, FIELDS, at)
        for at, nested in enumerate(message.nested_type):
            yield from self._message(f"{name}.{nested.name}", nested, (*path, NESTED_MESSAGES, at))
        for at, enum in enumerate(message.enum_type):
            yield from self._enum(f"{name}.{enum.name}", enum, (*path, NESTED_ENUMS, at))

    def _enum(
        self, name: str, enum: EnumDescriptorProto, path: Path_
    ) -> Iterator[tuple[str, Path_]]:
        self.enums[name] = enum
        yield name, path
        for at, value in enumerate(enum.value):
            yield f"{name}.{value.name}", (*path, VALUES, at)


def _locations(file: FileDescriptorProto) -> dict[Path_, str]:
    return {
        tuple(location.path): location.leading_comments
        for location in file.source_code_info.location
        if location.leading_comments
    }


def paragraphs(comment: str) -> str:
    """Join the lines of each paragraph of a comment; indented blocks stay as they are."""
    text = "\n".join(line.removeprefix(" ") for line in comment.splitlines())
    return "\n\n".join(
        part if part.startswith(" ") else re.sub(r"\s*\n\s*", " ", part)
        for part in text.strip("\n").split("\n\n")
    ).strip()
