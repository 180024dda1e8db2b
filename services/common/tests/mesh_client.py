"""A client of the mesh in a process of its own: gRPC reads its xDS bootstrap once a process.

`python -m services.common.tests.mesh_client SERVICE XDS_SERVERS` calls VerifyStock in a loop,
through Mesh, and prints one JSON object a call: its end (on the clock of time.monotonic()), its
code, the number of the instance that answered, the error text, and whether the mesh says that it
is connected.
"""

import json
import sys
import threading
import time

import grpc
from mamie_rosa import catalog_pb2_grpc

from services.common.mesh.channels import Mesh
from services.common.tests.fakes import ASK, stub

DELAY_SECONDS = 0.005


def main() -> None:
    name, xds_servers = sys.argv[1:]
    mesh = Mesh(xds_servers=xds_servers.split(","), node_id="mesh-client")
    service = stub(mesh.channel(name))
    while True:
        code, instance, error = call(service)
        line = {"at": time.monotonic(), "code": code, "instance": instance, "error": error}
        line["connected"] = is_connected(mesh, name)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        threading.Event().wait(DELAY_SECONDS)


def is_connected(mesh: Mesh, name: str) -> bool:
    try:
        mesh.health_details()[f"upstream/{name}"]()
    except ConnectionError:
        return False
    return True


def call(service: catalog_pb2_grpc.CatalogServiceStub) -> tuple[str, int, str | None]:
    try:
        return "OK", service.VerifyStock(ASK, timeout=2).available_quantity, None
    except grpc.RpcError as error:
        return error.code().name, 0, error.details()


if __name__ == "__main__":
    main()
