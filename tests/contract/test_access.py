"""Inside the mesh: a caller has the identity that their token proves, and no other.

Every method of every proto is called on the port of a server, past the edge.
"""

import importlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from mamie_rosa.options.v1 import options_pb2

from scripts.paths import ROOT
from services.common.context import Caller, current
from services.common.errors import StoreUnavailableError
from services.common.rpc.access import NoVerifierError
from services.common.rpc.public_keys import PublicKeys
from services.common.rpc.server import GrpcServer, ServiceBinding
from services.common.rpc.status import read_status
from services.common.rpc.streaming import StreamingServer
from services.common.rpc.testing import (
    ADMIN,
    ADMIN_ID,
    ALICE,
    TOKENS,
    bearer,
    new_key,
    sign_token,
)
from services.common.rpc.tokens import TokenVerifier
from services.common.tests.streams import FakeSource

pytestmark = pytest.mark.integration

PROTOS = sorted((ROOT / "protos").glob("mamie_rosa/**/*.proto"))
FORGED_HEADERS = {"x-user-id": ADMIN_ID, "x-user-role": "admin"}
CODE = grpc.StatusCode


def services() -> Iterator[tuple[Any, Any]]:
    """Yield each service of the protos, with the module that has its servicer."""
    for path in PROTOS:
        module = ".".join(path.relative_to(ROOT / "protos").with_suffix("").parts)
        for service in importlib.import_module(
            f"{module}_pb2"
        ).DESCRIPTOR.services_by_name.values():
            yield service, importlib.import_module(f"{module}_pb2_grpc")


def access_of(method: MethodDescriptor) -> str:
    return options_pb2.Access.Name(method.GetOptions().Extensions[options_pb2.access])


METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service, _ in services()
    for method in service.methods
}
ACCESS = {path: access_of(method) for path, method in METHODS.items()}
GUARDED = [path for path, access in ACCESS.items() if access in {"SIGNED_IN", "ADMIN"}]
FOR_ADMINS = [path for path, access in ACCESS.items() if access == "ADMIN"]
UNGUARDED = [path for path in METHODS if path not in GUARDED]


class Outcome(NamedTuple):
    """How a call ended; the reason is empty for one that succeeded."""

    code: grpc.StatusCode
    reason: str


class Servers:
    """Servers of all methods, which record the callers that reach a servicer."""

    def __init__(self, tokens: TokenVerifier) -> None:
        self.callers: list[Caller] = []
        unary: list[ServiceBinding] = []
        streams: list[ServiceBinding] = []
        for service, module in services():
            is_streaming = any(method.server_streaming for method in service.methods)
            (streams if is_streaming else unary).append(self._bind(service, module))
        self._servers = (
            GrpcServer(
                bindings=unary,
                host="127.0.0.1",
                port=0,
                worker_threads=2,
                queue_limit=9,
                tokens=tokens,
            ),
            StreamingServer(bindings=streams, source=FakeSource(), host="127.0.0.1", tokens=tokens),
        )
        self._channels = [
            grpc.insecure_channel(f"127.0.0.1:{server.port}") for server in self._servers
        ]
        for server in self._servers:
            server.start()

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        for server in self._servers:
            server.stop(0)

    def call(self, path: str, metadata: dict[str, str]) -> Outcome:
        """Call a method with an empty request."""
        sent, method = tuple(metadata.items()), METHODS[path]
        unary: Any
        streams: Any
        unary, streams = self._channels
        try:
            if method.server_streaming:
                list(streams.unary_stream(path)(b"", metadata=sent, timeout=5))
            else:
                unary.unary_unary(path)(b"", metadata=sent, timeout=5)
        except grpc.RpcError as error:
            return Outcome(error.code(), read_status(error)[0])
        return Outcome(CODE.OK, "")

    def _bind(self, service: Any, module: Any) -> ServiceBinding:
        servicer = type("Recording", (), {m.name: self._behavior(m) for m in service.methods})()
        add = getattr(module, f"add_{service.name}Servicer_to_server")
        return ServiceBinding(service.full_name, servicer, add)

    def _behavior(self, method: MethodDescriptor) -> Any:
        response = GetMessageClass(method.output_type)

        def answer(_servicer: object, _request: object, _context: object) -> Any:
            self.callers.append(current().caller)
            return response()

        async def stream(_servicer: object, _request: object, _context: object) -> Any:
            self.callers.append(current().caller)
            yield response()

        return stream if method.server_streaming else answer


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers(TOKENS)
    yield servers
    servers.close()


@pytest.fixture
def callers(servers: Servers) -> list[Caller]:
    servers.callers.clear()
    return servers.callers


def test_there_are_methods_of_each_kind() -> None:
    assert (len(GUARDED) > 15, len(FOR_ADMINS) > 3, len(UNGUARDED) > 15) == (True, True, True)


@pytest.mark.parametrize("path", GUARDED)
def test_a_role_without_a_token_is_not_believed(
    servers: Servers, callers: list[Caller], path: str
) -> None:
    assert servers.call(path, FORGED_HEADERS) == (CODE.UNAUTHENTICATED, "NOT_SIGNED_IN")
    assert callers == []


@pytest.mark.parametrize("path", GUARDED)
def test_a_bad_token_is_rejected_by_each_method(
    servers: Servers, callers: list[Caller], path: str
) -> None:
    forged = sign_token(ADMIN_ID, "admin", key=new_key("test"))
    expired = sign_token(ADMIN_ID, "admin", exp=int(time.time()) - 60)
    for token, reason in ((forged, "TOKEN_INVALID"), (expired, "TOKEN_EXPIRED")):
        sent = FORGED_HEADERS | bearer(token)
        assert servers.call(path, sent) == (CODE.UNAUTHENTICATED, reason)
    assert callers == []


@pytest.mark.parametrize("path", FOR_ADMINS)
def test_a_customer_may_not_call_what_is_for_administrators(
    servers: Servers, callers: list[Caller], path: str
) -> None:
    assert servers.call(path, ALICE | FORGED_HEADERS) == (CODE.PERMISSION_DENIED, "ADMIN_ONLY")
    assert callers == []


@pytest.mark.parametrize("path", GUARDED)
def test_an_administrators_token_is_accepted_by_each_method(
    servers: Servers, callers: list[Caller], path: str
) -> None:
    # Some requests are invalid when they are empty, which is judged after the token.
    assert servers.call(path, ADMIN) in {(CODE.OK, ""), (CODE.INVALID_ARGUMENT, "INVALID_FIELDS")}
    assert set(callers) <= {Caller(ADMIN_ID, "admin")}


@pytest.mark.parametrize("path", UNGUARDED)
def test_a_method_that_needs_no_token_has_no_caller(
    servers: Servers, callers: list[Caller], path: str
) -> None:
    for sent in ({}, FORGED_HEADERS, ADMIN, bearer("nonsense")):
        outcome = servers.call(path, sent)
        assert outcome in {(CODE.OK, ""), (CODE.INVALID_ARGUMENT, "INVALID_FIELDS")}
    assert set(callers) <= {Caller()}


def test_without_keys_tokens_are_unverifiable_not_invalid() -> None:
    def fetch() -> bytes:
        raise StoreUnavailableError

    servers = Servers(TokenVerifier(keys=PublicKeys(fetch=fetch)))
    try:
        outcomes = {servers.call(path, ADMIN) for path in GUARDED}
    finally:
        servers.close()
    assert outcomes == {(CODE.UNAVAILABLE, "KEYS_UNAVAILABLE")}


def test_no_server_has_guarded_methods_without_what_verifies_tokens() -> None:
    for service, module in services():
        binding = ServiceBinding(service.full_name, object(), getattr(module, "add_any", print))
        if binding.guarded_methods and "unary" in binding.method_kinds:
            with pytest.raises(NoVerifierError):
                GrpcServer(
                    bindings=[binding], host="127.0.0.1", port=0, worker_threads=1, queue_limit=1
                )
