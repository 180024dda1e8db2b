"""Asks a server of this machine for its health: `python -m services.common.rpc.probe`.

For a container's health check. MAMIE_PORT tells where the server is; the exit status is 0
when it serves, else 1.
"""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 2.0


def main() -> int:
    """Return the exit status, and print what is wrong."""
    with grpc.insecure_channel(f"127.0.0.1:{os.environ['MAMIE_PORT']}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS
            )
        except grpc.RpcError as error:
            print(error.code().name)  # noqa: T201
            return 1
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))  # noqa: T201
    return int(answer.status != health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(main())
