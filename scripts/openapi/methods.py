"""The public methods, with what their protos declare for clients of REST."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import MethodDescriptorProto
from mamie_rosa.options.v1 import options_pb2

from scripts.openapi.protos import Protos
from scripts.protos.methods import DEFAULT_TIMEOUT_SECONDS, PACKAGE


@dataclass(frozen=True, kw_only=True)
class Method:
    """A public method, with all that its proto declares."""

    service: str
    declared: MethodDescriptorProto
    verb: str
    path: str

    @property
    def folder(self) -> str:
        """Return its service as docs/errors.md names it, such as "orders"."""
        return self.service.split(".")[1]

    @property
    def rest(self) -> options_pb2.Rest:
        """Return what REST clients have to know."""
        rest: options_pb2.Rest = self.declared.options.Extensions[options_pb2.rest]
        return rest

    @property
    def access(self) -> str:
        """Return a name of Access, such as "SIGNED_IN"."""
        return options_pb2.Access.Name(self.declared.options.Extensions[options_pb2.access])

    @property
    def timeout_seconds(self) -> int:
        """Return how long a caller waits at most."""
        declared: int = self.declared.options.Extensions[options_pb2.timeout_seconds]
        return declared or DEFAULT_TIMEOUT_SECONDS

    @property
    def request(self) -> str:
        """Return the full name of its request."""
        return self.declared.input_type.removeprefix(".")

    @property
    def path_fields(self) -> frozenset[str]:
        """Return the fields that its path has."""
        return frozenset(re.findall(r"{([a-z0-9_]+)", self.path))

    @property
    def is_read(self) -> bool:
        """Return whether it reads: its answers have an ETag."""
        return self.verb == "get" and not self.declared.server_streaming

    @property
    def has_body(self) -> bool:
        """Return whether its request has a body: all fields that the path does not have."""
        return self.verb not in ("get", "delete")


API = ("/api/", "/.well-known/")
"""Where programs find the API; other paths are pages for people."""


def read_methods(protos: Protos) -> Iterator[Method]:
    """Yield every method with a path of the API, in the order of the protos."""
    for name, service in protos.services.items():
        if name.split(".")[0] == PACKAGE:
            for declared in service.method:
                rule = declared.options.Extensions[annotations_pb2.http]
                verb = rule.WhichOneof("pattern")
                if verb and getattr(rule, verb).startswith(API):
                    path = getattr(rule, verb)
                    yield Method(service=name, declared=declared, verb=verb, path=path)
