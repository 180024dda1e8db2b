"""ServiceBinding tests without a socket: grpcio-testing with the real interceptors around."""

from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import grpc_testing
from google.protobuf import descriptor, message
from google.rpc import error_details_pb2, status_pb2

from services.common.rpc.interceptors import Behavior, with_interceptors
from services.common.rpc.status import DETAILS, HTTP_CODE

ALICE = {"x-user-id": "0a11ce00-0000-4000-8000-000000000001", "x-user-role": "customer"}
BOB = {"x-user-id": "0b0b0000-0000-4000-8000-000000000002", "x-user-role": "customer"}
ADMIN = {"x-user-id": "0ad31100-0000-4000-8000-000000000003", "x-user-role": "admin"}
ANONYMOUS: dict[str, str] = {}


@dataclass(frozen=True)
class Answer:
    """What a call was answered with."""

    code: grpc.StatusCode
    text: str
    response: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> status_pb2.Status:
        """Return the google.rpc.Status of an error."""
        return status_pb2.Status.FromString(self.metadata[DETAILS])

    @property
    def reason(self) -> str:
        """Return the reason of an error."""
        return self.detail(error_details_pb2.ErrorInfo).reason

    @property
    def facts(self) -> dict[str, str]:
        """Return the metadata of an error's ErrorInfo."""
        return dict(self.detail(error_details_pb2.ErrorInfo).metadata)

    @property
    def http(self) -> int | None:
        """Return the HTTP code that the service asks for, if it asks for one."""
        code = self.metadata.get(HTTP_CODE)
        return code and int(code)

    def detail(self, kind: type[message.Message]) -> Any:
        """Return the error's detail of a kind."""
        found = kind()
        assert any(packed.Unpack(found) for packed in self.status.details)
        return found


class InMemoryServer:
    """Calls a servicer as gRPC would, interceptors and all, in this process."""

    def __init__(self, service: descriptor.ServiceDescriptor, servicer: object) -> None:
        self._service = service
        self._trailing: dict[str, Any] = {}
        guards = _Guarded(service, servicer, self._trailing)
        self._server = grpc_testing.server_from_dictionary(
            {service: guards}, grpc_testing.strict_real_time()
        )

    def call(
        self, method: str, request: message.Message, metadata: dict[str, str] | None = None
    ) -> Answer:
        """Call a method with metadata, wait for the answer and return it."""
        rpc = self._server.invoke_unary_unary(
            self._service.methods_by_name[method],
            tuple((metadata or {}).items()),
            request,
            5.0,
        )
        response, _, code, text = rpc.termination()
        initial = dict(rpc.initial_metadata()) if code is grpc.StatusCode.OK else {}
        return Answer(code, text, response, {**initial, **self._trailing})


class _Guarded:
    """A servicer with everything around its methods that every call has."""

    def __init__(
        self,
        service: descriptor.ServiceDescriptor,
        servicer: object,
        trailing: dict[str, Any],
    ) -> None:
        def recorded(behavior: Behavior) -> Behavior:
            return lambda request, context: behavior(
                request, cast(grpc.ServicerContext, _Recorded(context, trailing))
            )

        for method in service.methods:
            name = f"/{service.full_name}/{method.name}"
            setattr(
                self, method.name, recorded(with_interceptors(getattr(servicer, method.name), name))
            )


class _Recorded:
    """A context that keeps trailing metadata, which grpcio-testing drops when a call aborts."""

    def __init__(self, context: grpc.ServicerContext, trailing: dict[str, Any]) -> None:
        self._context = context
        self._trailing = trailing
        trailing.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_trailing_metadata(self, metadata) -> None:
        self._trailing.update(metadata)
