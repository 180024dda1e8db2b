"""The smallest service there is, as a process.

`python -m services.common.tests.tiny_service NAME [away] [streams]`: under that name, with a
store that may be away, and with streams that go on until the service leaves.
"""

import sys
from dataclasses import dataclass

from mamie_rosa import catalog_pb2_grpc

from services.common import runtime
from services.common.config import ServiceConfig, reading_environment
from services.common.mesh.manifest import Manifest
from services.common.rpc.server import ServiceBinding
from services.common.tests.fakes import SERVICE, ScriptedServicer, available
from services.common.tests.streams import FakeSource, part, scripted


def store_is_away() -> None:
    """Fail as a store does."""
    raise ConnectionError("away")


def streaming(name: str) -> runtime.Streaming:
    """Return streams that say that they have begun, and wait for their source to be closed."""
    source = FakeSource()

    async def parts(_request, _context):
        yield part("begun")
        await source.closed.wait()

    return runtime.Streaming(name=f"{name}-streams", bindings=[scripted(parts)], source=source)


def serve(name: str, config: ServiceConfig, *, away: bool, streams: bool) -> None:
    """Serve until told to stop."""
    servicer = ScriptedServicer(lambda _request: available(1))
    add = catalog_pb2_grpc.add_CatalogServiceServicer_to_server
    runtime.serve(
        name=name,
        config=config,
        bindings=[ServiceBinding(SERVICE, servicer, add)],
        checks={"store": store_is_away} if away else {},
        streaming=streaming(name) if streams else None,
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
    name, *how = sys.argv[1:]
    sys.argv = sys.argv[:1]
    wanted = {option: option in how for option in ("away", "streams")}
    runtime.run(
        Manifest(name=name, port=0),
        read_config,
        serve=lambda config: serve(name, config.service, **wanted),
    )
