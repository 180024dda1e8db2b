"""A token of users is proof at another service, whose keys come over the mesh; headers are none."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc

from services.common.rpc.status import read_status
from services.common.rpc.testing import bearer
from services.common.tests.processes import output_of, running
from tests.edge.control_plane import StaticControlPlane
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

UNAVAILABLE = "127.0.0.1:1"


class Pair:
    """An instance of users and one of orders, on a mesh without Consul."""

    def __init__(self, processes: ExitStack, postgres_url: str, mongodb_url: str) -> None:
        self._processes = processes
        control_plane = StaticControlPlane()
        processes.callback(control_plane.close)
        self._xds = f"127.0.0.1:{control_plane.port}"
        self.users_process, users = self._start("users", postgres_url, "migrate", "serve")
        control_plane.set_instances("users", users)
        _, orders = self._start("orders", mongodb_url, "migrate", "serve")
        self.users = users_pb2_grpc.UsersServiceStub(self._channel(users))
        self.orders = orders_pb2_grpc.OrdersServiceStub(self._channel(orders))

    def register(self) -> users_pb2.RegisterUserResponse:
        """Register a customer; return their id and token."""
        request = users_pb2.RegisterUserRequest(
            email=f"{uuid.uuid4().hex}@customers.example",
            password="croquettes pour tous",
            first_name="Rosa",
            last_name="Martin",
            animal_type="cat",
        )
        return self.users.RegisterUser(request, timeout=30)

    def list_orders(self, metadata: dict[str, str]) -> tuple[str, str]:
        """List the caller's orders; return the code and the reason of the answer."""
        try:
            request = orders_pb2.ListOrdersRequest()
            self.orders.ListOrders(request, metadata=tuple(metadata.items()), timeout=30)
        except grpc.RpcError as error:
            return error.code().name, read_status(error)[0]
        return "OK", ""

    def _start(self, service: str, store_url: str, *verbs: str):
        settings = {
            "INSTANCE": f"{service}-1",
            "STORE_URL": store_url,
            "CONSUL_URL": f"http://{UNAVAILABLE}",
            "BUS_URL": f"amqp://{UNAVAILABLE}/%2F",
            "XDS_SERVERS": self._xds,
        }
        process = self._processes.enter_context(running(f"services.{service}", *verbs, **settings))
        return process, eventually(lambda: _port_of(process, service), seconds=120)

    def _channel(self, port: int) -> grpc.Channel:
        return self._processes.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))


def _port_of(process, service: str) -> int | None:
    for line in output_of(process).splitlines():
        if "service_started" in line:
            return json.loads(line)["ports"][service]
    assert process.poll() is None, output_of(process)
    return None


@pytest.fixture
def pair(postgres_url: str, mongodb_url: str) -> Iterator[Pair]:
    with ExitStack() as processes:
        yield Pair(processes, postgres_url, mongodb_url)


def test_a_token_is_proof_at_another_service_also_while_users_is_unavailable(pair: Pair) -> None:
    registered = pair.register()
    token = bearer(registered.token)
    eventually(lambda: pair.list_orders(token) == ("OK", ""), seconds=30)
    profile = users_pb2.GetUserRequest(id=registered.user_id)
    assert pair.users.GetUser(profile, metadata=tuple(token.items()), timeout=30).first_name
    forged = {"x-user-id": registered.user_id, "x-user-role": "admin"}
    assert pair.list_orders(forged) == ("UNAUTHENTICATED", "NOT_SIGNED_IN")
    second = pair.register()
    pair.users_process.kill()
    pair.users_process.wait()
    assert pair.list_orders(bearer(second.token)) == ("OK", "")
    head, claims, _ = second.token.split(".")
    signature = registered.token.split(".")[2]
    swapped = bearer(f"{head}.{claims}.{signature}")
    assert pair.list_orders(swapped) == ("UNAUTHENTICATED", "TOKEN_INVALID")
