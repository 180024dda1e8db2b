"""The storefront service: `python -m services.storefront [serve]`."""

from collections.abc import Callable, Mapping
from functools import partial

import grpc
from mamie_rosa.storefront.v1 import storefront_pb2_grpc

from services.common import runtime
from services.common.mesh.breaker import CircuitBreaker
from services.common.mesh.channels import MARGIN_SECONDS, Mesh, OnBehalfOfCaller
from services.common.rpc.server import ServiceBinding
from services.storefront.config import StorefrontConfig, read_config
from services.storefront.home import HomePage
from services.storefront.parts import (
    ActivePromotionsOverGrpc,
    LastOrdersOverGrpc,
    Part,
    ProfileOverGrpc,
    RecommendationsOverGrpc,
)
from services.storefront.servicer import StorefrontServicer


def serve(config: StorefrontConfig) -> None:
    """Wire the service and serve until stopped."""
    mesh = Mesh(xds_servers=config.service.xds_servers, node_id=config.service.instance)
    home = HomePage(
        parts=build_parts(mesh.channel, timeout_seconds=config.part_timeout_seconds),
        # A little longer than each call: one that fails is heard, and counted, in time.
        timeout_seconds=config.part_timeout_seconds + MARGIN_SECONDS,
        max_concurrent_pages=config.service.worker_threads,
    )
    runtime.serve(
        name="storefront",
        config=config.service,
        bindings=[
            ServiceBinding(
                "mamie_rosa.storefront.v1.StorefrontService",
                StorefrontServicer(home=home),
                storefront_pb2_grpc.add_StorefrontServiceServicer_to_server,
            )
        ],
        # There is a page whichever service is unavailable.
        checks={},
    )


def build_parts(
    channel: Callable[..., grpc.Channel], *, timeout_seconds: float
) -> Mapping[str, Part]:
    """Return the parts of the start page, each behind a circuit breaker of its own."""

    def on_behalf(service: str) -> grpc.Channel:
        return channel(service, CircuitBreaker(), OnBehalfOfCaller())

    shared = channel("promotions", CircuitBreaker())
    return {
        "profile": ProfileOverGrpc(on_behalf("users"), timeout_seconds=timeout_seconds),
        "orders": LastOrdersOverGrpc(on_behalf("orders"), timeout_seconds=timeout_seconds),
        "recommendations": RecommendationsOverGrpc(
            on_behalf("recommendations"), timeout_seconds=timeout_seconds
        ),
        "promotions": ActivePromotionsOverGrpc(shared, timeout_seconds=timeout_seconds),
    }


if __name__ == "__main__":
    config = read_config()
    runtime.main("storefront", config.service, verbs={"serve": partial(serve, config)})
