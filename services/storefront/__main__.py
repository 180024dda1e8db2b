"""The storefront service: `python -m services.storefront [serve]`."""

from collections.abc import Callable, Mapping

import grpc
from mamie_rosa.storefront.v1 import ops_pb2_grpc, reference_pb2_grpc, storefront_pb2_grpc

from services.common import clock, runtime
from services.common.mesh.breaker import CircuitBreaker
from services.common.mesh.channels import MARGIN_SECONDS, OnBehalfOfCaller
from services.common.rpc.server import ServiceBinding
from services.storefront.assets import Assets
from services.storefront.config import StorefrontConfig, read_config
from services.storefront.home import HomePage
from services.storefront.manifest import MANIFEST
from services.storefront.ops.mesh import MeshView
from services.storefront.ops.prometheus import Prometheus
from services.storefront.ops.servicer import OpsServicer
from services.storefront.ops.traces import TraceStore
from services.storefront.parts import (
    ActivePromotionsOverGrpc,
    LastOrdersOverGrpc,
    Part,
    ProfileOverGrpc,
    RecommendationsOverGrpc,
)
from services.storefront.reference.servicer import ReferenceServicer
from services.storefront.servicer import StorefrontServicer


def serve(config: StorefrontConfig) -> None:
    """Wire the service and serve until it is stopped."""
    mesh = runtime.open_mesh(MANIFEST, config.service)
    home = HomePage(
        parts=build_parts(mesh.channel, timeout_seconds=config.part_timeout_seconds),
        # A little longer than each call, so that a call that times out is counted.
        timeout_seconds=config.part_timeout_seconds + MARGIN_SECONDS,
        max_concurrent_pages=config.service.worker_threads,
    )
    runtime.serve(
        name=MANIFEST.name,
        config=config.service,
        bindings=[
            ServiceBinding(
                "mamie_rosa.storefront.v1.StorefrontService",
                StorefrontServicer(home=home, assets=Assets()),
                storefront_pb2_grpc.add_StorefrontServiceServicer_to_server,
            ),
            ServiceBinding(
                "mamie_rosa.storefront.v1.ReferenceService",
                ReferenceServicer(),
                reference_pb2_grpc.add_ReferenceServiceServicer_to_server,
            ),
            ServiceBinding(
                "mamie_rosa.storefront.v1.OpsService",
                build_ops(config),
                ops_pb2_grpc.add_OpsServiceServicer_to_server,
            ),
        ],
        # The page is served without the parts that are unavailable.
        checks={},
        mesh=mesh,
    )


def build_ops(config: StorefrontConfig) -> OpsServicer:
    """Build what /ops asks; without the URL of a server it says that there is none."""
    metrics = Prometheus(config.prometheus_url) if config.prometheus_url else None
    traces = TraceStore(config.trace_store_url) if config.trace_store_url else None
    mesh = MeshView(metrics, now=clock.utc_now)
    return OpsServicer(mesh=mesh, traces=traces, viewer_url=config.trace_viewer_url)


def build_parts(
    channel: Callable[..., grpc.Channel], *, timeout_seconds: float
) -> Mapping[str, Part]:
    """Build the parts of the start page, each behind its own circuit breaker."""

    def for_caller(service: str) -> grpc.Channel:
        return channel(service, CircuitBreaker(upstream=service), OnBehalfOfCaller())

    anonymous = channel("promotions", CircuitBreaker(upstream="promotions"))
    return {
        "profile": ProfileOverGrpc(for_caller("users"), timeout_seconds=timeout_seconds),
        "orders": LastOrdersOverGrpc(for_caller("orders"), timeout_seconds=timeout_seconds),
        "recommendations": RecommendationsOverGrpc(
            for_caller("recommendations"), timeout_seconds=timeout_seconds
        ),
        "promotions": ActivePromotionsOverGrpc(anonymous, timeout_seconds=timeout_seconds),
    }


if __name__ == "__main__":
    runtime.run(MANIFEST, read_config, serve=serve)
