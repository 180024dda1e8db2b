"""An instance of users that only publishes the key of tests, in a mesh of its own.

`python -m tests.support.fake_users` prints the port of its control plane. Services that get it as
MAMIE_XDS_SERVERS verify the tokens of services.common.rpc.testing.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.api import httpbody_pb2
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc
from typing_extensions import override

from services.common.rpc.server import GrpcServer, ServiceBinding
from services.common.rpc.testing import TOKENS, fetch_keys
from services.common.tests.processes import output_of, running
from tests.edge.control_plane import StaticControlPlane
from tests.support.waiting import eventually


class FakeUsers(users_pb2_grpc.UsersServiceServicer):
    """Publishes the key of tests."""

    @override
    def GetJwks(
        self, request: users_pb2.GetJwksRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return httpbody_pb2.HttpBody(content_type="application/json", data=fetch_keys())


def serve_keys() -> GrpcServer:
    """Start a server of users on any free port."""
    users = FakeUsers()  # type: ignore[abstract]  # the methods that are not called
    add = users_pb2_grpc.add_UsersServiceServicer_to_server
    server = GrpcServer(
        bindings=[ServiceBinding("mamie_rosa.users.v1.UsersService", users, add)],
        host="127.0.0.1",
        port=0,
        worker_threads=2,
        queue_limit=64,
        tokens=TOKENS,
    )
    server.start()
    return server


@contextmanager
def fake_users() -> Iterator[str]:
    """Run the process; yield the address of its control plane."""
    with running("tests.support.fake_users") as process:
        port = eventually(lambda: output_of(process).strip(), seconds=30)
        yield f"127.0.0.1:{port}"


def main() -> None:
    """Serve until the process is killed."""
    control_plane = StaticControlPlane()
    control_plane.set_instances("users", serve_keys().port)
    print(control_plane.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
