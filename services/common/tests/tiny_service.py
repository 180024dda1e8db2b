"""A minimal service as a process.

`python -m services.common.tests.tiny_service NAME [no-store] [streams] [dying-loop]`: with this
name, with or without a store that is unavailable, with or without streams that last until the
stop, and with or without a background loop whose thread dies.
"""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.api.httpbody_pb2 import HttpBody
from mamie_rosa import catalog_pb2_grpc

from services.common import runtime
from services.common.background import BackgroundLoop
from services.common.config import ServiceConfig, reading_environment
from services.common.manifest import Manifest
from services.common.rpc.server import ServiceBinding
from services.common.rpc.testing import fetch_keys
from services.common.tests.fakes import SERVICE, ScriptedServicer, available
from services.common.tests.streams import FakeSource, part, scripted


def fail_check() -> None:
    """Fail as the check of an unavailable store."""
    raise ConnectionError("no store")


def streaming(name: str) -> runtime.Streaming:
    """Build streams that send one part and end when their source is closed."""
    source = FakeSource()

    async def parts(_request: object, _context: object) -> AsyncIterator[HttpBody]:
        yield part("started")
        await source.closed.wait()

    return runtime.Streaming(name=f"{name}-streams", bindings=[scripted(parts)], source=source)


def die(_loop: BackgroundLoop) -> None:
    """End the thread, as no exception could."""
    raise SystemExit


def serve(
    name: str, config: ServiceConfig, *, has_store: bool, has_streams: bool, dies: bool
) -> None:
    """Serve until SIGTERM."""
    servicer = ScriptedServicer(lambda _request: available(1))
    add = catalog_pb2_grpc.add_CatalogServiceServicer_to_server
    runtime.serve(
        name=name,
        config=config,
        bindings=[ServiceBinding(SERVICE, servicer, add)],
        checks={} if has_store else {"store": fail_check},
        workers=[BackgroundLoop(name="dying", work=die)] if dies else [],
        streaming=streaming(name) if has_streams else None,
        fetch_keys=fetch_keys,
    )


@dataclass(frozen=True)
class TinyConfig:
    """Settings of the process."""

    service: ServiceConfig


def read_config() -> TinyConfig:
    """Read the environment."""
    with reading_environment() as env:
        return TinyConfig(ServiceConfig.read(env))


if __name__ == "__main__":
    name, *options = sys.argv[1:]
    sys.argv = sys.argv[:1]
    runtime.run(
        Manifest(name=name, port=0),
        read_config,
        serve=lambda config: serve(
            name,
            config.service,
            has_store="no-store" not in options,
            has_streams="streams" in options,
            dies="dying-loop" in options,
        ),
    )
