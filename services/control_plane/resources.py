"""The xDS resources that describe the mesh.

Envoy asks for clusters and endpoints; a gRPC client asks for a listener and routes as well.
What each insists on is in https://grpc.io/docs/guides/custom-load-balancing and Envoy's xDS
reference; the traps are noted where they are met.
"""

from collections.abc import Mapping, Sequence
from typing import Any as AnyValue

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import ApiListener, Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions
from envoy_data_plane.google.protobuf import Any

from services.common.mesh.consul import Instance
from services.control_plane.policy import Policy, PolicyError

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Both Envoy and gRPC take "ads"; Envoy refuses "self".
FROM_HERE = {"ads": {}, "resourceApiVersion": "V3"}

Resources = Mapping[str, Mapping[str, bytes]]
"""By type URL and name, serialized."""

Services = Mapping[str, Sequence[Instance]]
"""The healthy instances of every service, by its name."""


def build(services: Services, policy: Policy) -> Resources:
    """Return everything that there is to say about the mesh."""
    return {
        CLUSTER: {name: bytes(cluster(name, policy)) for name in services},
        ENDPOINTS: {name: bytes(endpoints(name, found)) for name, found in services.items()},
        LISTENER: {name: bytes(listener(name)) for name in services},
        ROUTES: {name: bytes(routes(name, policy)) for name in services},
    }


def check(policy: Policy) -> None:
    """Raise PolicyError when the policy says what Envoy's API does not know."""
    try:
        build({"any": ()}, policy)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise PolicyError(str(error.args[0])) from error


def cluster(name: str, policy: Policy) -> Cluster:
    """Return how a service is called: over HTTP/2, on the instances that EDS lists."""
    built = Cluster.from_dict(
        {
            "name": name,
            "type": "EDS",
            "edsClusterConfig": {"edsConfig": FROM_HERE},
            "lbPolicy": "ROUND_ROBIN",  # the only one, but for hashing, that gRPC takes
            "connectTimeout": policy.connect_timeout,
            "circuitBreakers": policy.circuit_breakers_of(name),
            "outlierDetection": policy.outlier_detection,
            # A host that left Consul goes at once, whatever else is known about it.
            "ignoreHealthOnHostRemoval": True,
        }
    )
    http2 = {
        "explicitHttpConfig": {"http2ProtocolOptions": {"connectionKeepalive": policy.keepalive}}
    }
    if built.outlier_detection:  # from_dict() does not know this one's name
        built.outlier_detection.enforcing_consecutive_5xx = 0
    built.typed_extension_protocol_options = {
        HTTP_OPTIONS: packed(HttpProtocolOptions.from_dict(http2))
    }
    return built


def endpoints(name: str, instances: Sequence[Instance]) -> ClusterLoadAssignment:
    """Return where a service is.

    gRPC takes IP addresses alone, and only a locality that is there and has a weight.
    """
    listed = [
        {
            "endpoint": {
                "address": {
                    "socketAddress": {"address": instance.address, "portValue": instance.port}
                }
            },
            "healthStatus": "HEALTHY",
        }
        for instance in instances
    ]
    locality = {"locality": {}, "loadBalancingWeight": 1, "lbEndpoints": listed}
    return ClusterLoadAssignment.from_dict(
        {"clusterName": name, "endpoints": [locality] if listed else []}
    )


def listener(name: str) -> Listener:
    """Return what a gRPC client finds under "xds:///name"."""
    router = HttpFilter(name="router", typed_config=packed(Router()))
    manager = HttpConnectionManager.from_dict(
        {"rds": {"routeConfigName": name, "configSource": FROM_HERE}}
    )
    manager.http_filters = [router]
    return Listener(name=name, api_listener=ApiListener(api_listener=packed(manager)))


def routes(name: str, policy: Policy) -> RouteConfiguration:
    """Return where a gRPC client's calls to a service go, and when they are tried again."""
    action: dict[str, AnyValue] = {
        "cluster": name,
        "retryPolicy": policy.retry_policy,
        # gRPC does not look at `timeout`; this is its limit for each call.
        "maxStreamDuration": {"maxStreamDuration": policy.max_stream_duration},
    }
    everything = {"match": {"prefix": ""}, "route": action}
    return RouteConfiguration.from_dict(
        {"name": name, "virtualHosts": [{"name": name, "domains": ["*"], "routes": [everything]}]}
    )


def packed(message: betterproto2.Message) -> Any:
    """Return a message as google.protobuf.Any."""
    return Any.pack(message)
