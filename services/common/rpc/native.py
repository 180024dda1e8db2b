"""A gRPC server whose HTTP/2 is handled by pygrpc-native, in Rust and outside the GIL.

MAMIE_RPC_SERVER=native chooses it; docs/decisions/0024-rpc-server.md says when and why not. It is
built on the package's low-level interface: calls arrive in batches, and each is answered by its id.

    client --HTTP/2--> front --this project's services--> dispatch --> pool
                         '------- all the rest, by a Unix socket ----> a grpcio server

Health checks and reflection are answered by grpcio with threads of its own, so that a busy pool
cannot starve them. A call beyond the limit is rejected by the dispatch, before it waits.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import grpc
import structlog
from pygrpc_native import EVENT_CANCEL, NativeGrpcFront

from services.common.background import BackgroundLoop
from services.common.metrics.calls import REJECTED
from services.common.rpc.admission import OVERLOADED, CountingThreadPool
from services.common.rpc.interceptors import (
    SERVICE_PATH_PREFIX,
    Behavior,
    ErrorResponse,
    with_interceptors,
)
from services.common.rpc.tokens import TokenVerifier

BATCH_SIZE = 64
IDLE_MILLISECONDS = 5_000
"""After that time without a call the dispatch reports that it is alive."""
STANDARD_THREADS = 4

Metadata = Sequence[tuple[str, str | bytes]]

log = structlog.get_logger()


class NativeServer:
    """Serves unary methods of this project's services; has what GrpcServer needs of grpc.Server."""

    def __init__(
        self,
        *,
        pool: CountingThreadPool,
        queue_limit: int,
        tokens: TokenVerifier | None,
        options: Mapping[str, int],
    ) -> None:
        self._pool = pool
        self._tokens = tokens
        self._queue_limit = queue_limit
        self._max_request_bytes = options["grpc.max_receive_message_length"]
        self._max_metadata_bytes = options["grpc.absolute_max_metadata_size"]
        self._methods: dict[str, _Method] = {}
        self._table: list[_Method] = []
        self._standard = grpc.server(
            ThreadPoolExecutor(STANDARD_THREADS, "standard"), options=list(options.items())
        )
        self._folder = Path(tempfile.mkdtemp(prefix="mamie-rosa-"))
        self._calls: set[int] = set()
        """Ids of the calls that are neither answered nor cancelled."""
        self._stopping = False
        self._idle = threading.Event()
        self._loop = BackgroundLoop(name="rpc-dispatch", work=self._dispatch)

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]
    ) -> None:
        """Add a service, as generated code does."""
        if not _is_ours(service):
            self._standard.add_registered_method_handlers(service, handlers)
            return
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self._methods[path] = _Method(
                read=handler.request_deserializer or bytes,
                handle=with_interceptors(cast(Behavior, handler.unary_unary), path, self._tokens),
                render=handler.response_serializer or bytes,
            )

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Add what is not registered by method; generated code calls both functions."""
        standard = [each for each in handlers if not _is_ours(each.service_name())]
        self._standard.add_generic_rpc_handlers(standard)

    def add_insecure_port(self, address: str) -> int:
        """Bind to an address and return the port; RuntimeError, as grpcio, when it is taken."""
        try:
            self._front = NativeGrpcFront(
                address,
                [],
                io_threads=1,
                call_details=True,
                max_metadata_size=self._max_metadata_bytes,
            )
        except OSError as error:
            raise RuntimeError(f"cannot bind to {address}") from error
        return self._front.bound_port

    def start(self) -> None:
        """Start to serve."""
        socket = self._folder / "standard.sock"
        self._standard.add_insecure_port(f"unix:{socket}")
        self._standard.start()
        self._front.set_fallback(str(socket))
        self._front.add_methods([(path, False) for path in self._methods])
        self._table = list(self._methods.values())
        self._front.start()
        self._loop.start()

    def stop(self, grace_seconds: float) -> threading.Event:
        """Accept no more calls; after `grace_seconds` at most, cancel those in flight.

        Returns an event that is set, where grpcio returns one that will be.
        """
        self._stopping = True
        if self._calls:
            self._idle.wait(grace_seconds)
        self._loop.request_stop()
        self._front.close()
        self._standard.stop(0)
        self._pool.shutdown(wait=False)
        shutil.rmtree(self._folder, ignore_errors=True)
        stopped = threading.Event()
        stopped.set()
        return stopped

    def _dispatch(self, loop: BackgroundLoop) -> None:
        receive = self._front.recv_batch_details
        while (events := receive(BATCH_SIZE, IDLE_MILLISECONDS)) is not None:
            for kind, call_id, method, payload, _, details in events:
                if kind == EVENT_CANCEL:
                    self._calls.discard(call_id)
                elif payload is not None and details is not None:
                    self._accept(call_id, self._table[method], payload, details)
            loop.succeeded()

    def _accept(
        self,
        call_id: int,
        method: "_Method",
        payload: bytes,
        details: tuple[Metadata, str, float | None],
    ) -> None:
        """Give a call to the pool, or reject it."""
        self._calls.add(call_id)
        if self._stopping:
            self._fail(call_id, grpc.StatusCode.UNAVAILABLE, "Server is shutting down")
        elif len(payload) > self._max_request_bytes:
            text = f"Received message larger than max ({len(payload)})"
            self._fail(call_id, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        elif self._pool.waiting >= self._queue_limit:
            REJECTED.inc()
            self._fail_with(call_id, OVERLOADED)
        else:
            metadata, _, remaining_seconds = details
            context = NativeContext(metadata, remaining_seconds)
            self._pool.submit(self._answer, call_id, method, payload, context)
            return
        self._ended(call_id)

    def _answer(
        self, call_id: int, method: "_Method", payload: bytes, context: "NativeContext"
    ) -> None:
        if call_id not in self._calls:  # cancelled, or its deadline is over, while it waited
            return
        try:
            request = method.read(payload)
            response = method.handle(request, cast(grpc.ServicerContext, context))
            self._front.respond(call_id, method.render(response), context.initial_metadata)
        except AbortedError as aborted:
            self._fail(call_id, aborted.code, aborted.text, context.trailing_metadata)
        except Exception:  # a request or a response that protobuf cannot read or write
            log.exception("call_crashed")
            self._fail(call_id, grpc.StatusCode.INTERNAL, "Exception deserializing request!")
        finally:
            self._ended(call_id)

    def _ended(self, call_id: int) -> None:
        self._calls.discard(call_id)
        if self._stopping and not self._calls:
            self._idle.set()

    def _fail_with(self, call_id: int, response: ErrorResponse) -> None:
        self._fail(call_id, response.code, response.status.message, response.trailing_metadata)

    def _fail(
        self, call_id: int, code: grpc.StatusCode, text: str, trailing: Metadata = ()
    ) -> None:
        self._front.fail(call_id, code.value[0], text, trailing)


class _Method(NamedTuple):
    """A method with all that surrounds it: from bytes to bytes."""

    read: Any
    handle: Behavior
    render: Any


class AbortedError(Exception):
    """Ends a call with a status."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(code.name)
        self.code = code
        self.text = text


class NativeContext:
    """What unary methods use of grpc.ServicerContext; anything else is an AttributeError.

    `remaining_seconds` is what the caller's deadline leaves when the call arrives, or None.
    """

    def __init__(self, metadata: Metadata, remaining_seconds: float | None) -> None:
        self._metadata = metadata
        # The wait for a thread counts.
        self._deadline = None if remaining_seconds is None else time.monotonic() + remaining_seconds
        self.initial_metadata: Metadata | None = None
        self.trailing_metadata: Metadata = ()

    def invocation_metadata(self) -> Metadata:
        """Return the metadata of the call, as pairs."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def send_initial_metadata(self, metadata: Metadata) -> None:
        """Send metadata with the response."""
        self.initial_metadata = metadata

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """Send metadata with the status."""
        self.trailing_metadata = metadata

    def abort(self, code: grpc.StatusCode, text: str) -> NoReturn:
        """End the call with a status."""
        raise AbortedError(code, text)


def _is_ours(service: str) -> bool:
    return f"/{service}".startswith(SERVICE_PATH_PREFIX)
