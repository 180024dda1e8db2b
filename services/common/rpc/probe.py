"""Health check of a container: `python -m services.common.rpc.probe`.

Calls the server at MAMIE_PORT of this machine; the exit status is 0 when it is SERVING, else 1.
"""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 2.0


def main() -> int:
    """Print the health and return the exit status."""
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
