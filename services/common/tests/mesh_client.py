"""A client of the mesh in a process of its own: gRPC reads its xDS bootstrap once a process.

`python -m services.common.tests.mesh_client SERVICE XDS_SERVERS` calls VerifyStock again and
again, as every service calls another, and prints a line for each call: when it ended (on the
clock of time.monotonic()), its code, and the number of the instance that answered.
"""

import json
import sys
import threading
import time

import grpc

from services.common.mesh.channels import Mesh
from services.common.tests.fakes import ASK, stub

PAUSE_SECONDS = 0.005


def main() -> None:
    service, xds_servers = sys.argv[1:]
    mesh = Mesh(xds_servers=xds_servers.split(","), node_id="mesh-client")
    calls = stub(mesh.channel(service))
    while True:
        code, by, why = call(calls)
        line = {"at": time.monotonic(), "code": code, "by": by, "why": why}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        threading.Event().wait(PAUSE_SECONDS)


def call(calls) -> tuple[str, int, str | None]:
    try:
        return "OK", calls.VerifyStock(ASK, timeout=2).available_quantity, None
    except grpc.RpcError as error:
        return error.code().name, 0, error.details()


if __name__ == "__main__":
    main()
