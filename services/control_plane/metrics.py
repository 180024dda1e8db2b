"""What the control plane knows and pushes. The age of each watch is that of its loop."""

from prometheus_client import Counter, Gauge

from services.control_plane.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES

PUSHES = Counter("mamie_xds_pushes", "Responses to clients, by the type of resource.", ("type",))
NACKS = Counter("mamie_xds_nacks", "Responses that a client rejected.", ("type",))
STREAMS = Gauge("mamie_xds_streams", "Clients that are connected: Envoy and gRPC clients.")
INSTANCES = Gauge("mamie_xds_instances", "Healthy instances of a service.", ("upstream",))


def short(type_url: str) -> str:
    """Return the name of a type of resource, such as "Cluster"."""
    return type_url.rpartition(".")[2]


for _type in (CLUSTER, ENDPOINTS, LISTENER, ROUTES):
    PUSHES.labels(short(_type))
    NACKS.labels(short(_type))
