"""The mesh and the history of a service, from what is measured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from mamie_rosa.storefront.v1 import ops_pb2

from services.common.rpc.timestamps import to_timestamp
from services.storefront.ops.prometheus import Alert, Metrics, Value
from services.storefront.ops.queries import HISTORY, MESH

MAX_POINTS = 240
MIN_STEP_SECONDS = 15
DEFAULT_MINUTES = 60
EDGE = "envoy"
NO_SERVICES = {"keys", "order-events", "products", "traces"}
"""Clusters of the edge that are no service, or a second port of one."""

Found = Mapping[str, Sequence[Value]]
Table = Mapping[tuple[str, ...], float]


class MeshView:
    """Shows what `metrics` know; without them nothing is monitored."""

    def __init__(self, metrics: Metrics | None, *, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._now = now

    def read(self) -> ops_pb2.Mesh:
        """Return the mesh as it is now; MonitoringUnavailableError."""
        if self._metrics is None:
            return ops_pb2.Mesh()
        found = {name: self._metrics.query(query) for name, query in MESH.items()}
        return ops_pb2.Mesh(
            is_monitored=True,
            services=_services(found),
            calls=[*_edge_calls(found), *_calls(found)],
            outboxes=_outboxes(found),
            queues=_queues(found),
            stores=_stores(found),
            alerts=map(_to_alert, self._metrics.alerts()),
        )

    def history(self, service: str, minutes: int) -> ops_pb2.ServiceHistory:
        """Return the calls of a service in the last minutes; MonitoringUnavailableError."""
        if self._metrics is None:
            return ops_pb2.ServiceHistory()
        seconds = (minutes or DEFAULT_MINUTES) * 60
        step = max(MIN_STEP_SECONDS, -(-seconds // (MAX_POINTS - 1)))
        end = self._now().timestamp() // step * step
        start = end - seconds // step * step
        values: dict[str, Mapping[float, float]] = {}
        for name, query in HISTORY.items():
            series = self._metrics.history(query, start=start, end=end, step=step)
            values[name] = next((each for of, each in series if of.get("service") == service), {})
        times = sorted(values["rate"])
        points = [_point(time, values) for time in times]
        return ops_pb2.ServiceHistory(is_monitored=True, points=points)


def _services(found: Found) -> Iterator[ops_pb2.MeshService]:
    processes, healthy = _table(found, "processes", "service"), _table(found, "healthy", "upstream")
    rates, errors, p95 = (_table(found, name, "service") for name in HISTORY)
    for key in sorted(processes.keys() | healthy.keys()):
        if key[0] not in NO_SERVICES:
            yield ops_pb2.MeshService(
                name=key[0],
                process_count=int(processes.get(key, 0)),
                # Nobody discovers the control plane: its own processes are all there is.
                healthy_count=int(healthy.get(key, processes.get(key, 0))),
                rate=rates.get(key, 0),
                error_rate=errors.get(key, 0),
                p95_seconds=p95.get(key),
            )


def _calls(found: Found) -> Iterator[ops_pb2.MeshCall]:
    names = ("call_rate", "call_error_rate", "call_p95", "circuit_open")
    rates, errors, p95, is_open = (_table(found, name, "service", "upstream") for name in names)
    for key in sorted(rates.keys() | is_open.keys()):
        yield ops_pb2.MeshCall(
            caller=key[0],
            upstream=key[1],
            rate=rates.get(key, 0),
            error_rate=errors.get(key, 0),
            p95_seconds=p95.get(key),
            is_circuit_open=bool(is_open.get(key)),
        )


def _edge_calls(found: Found) -> Iterator[ops_pb2.MeshCall]:
    names = ("edge_rate", "edge_error_rate", "edge_p95")
    rates, errors, milliseconds = (_table(found, name, "envoy_cluster_name") for name in names)
    for key in sorted(rates):
        if key[0] not in NO_SERVICES | {"control_plane"}:
            yield ops_pb2.MeshCall(
                caller=EDGE,
                upstream=key[0],
                rate=rates[key],
                error_rate=errors.get(key, 0),
                p95_seconds=milliseconds[key] / 1000 if key in milliseconds else None,
            )


def _outboxes(found: Found) -> Iterator[ops_pb2.MeshOutbox]:
    delays = _table(found, "outbox_delay", "service")
    for key, age in sorted(_table(found, "relay_age", "service").items()):
        yield ops_pb2.MeshOutbox(
            service=key[0], relay_age_seconds=age, delay_seconds=delays.get(key)
        )


def _queues(found: Found) -> Iterator[ops_pb2.MeshQueue]:
    for name in ("messages", "dead_letters"):
        for (queue,), count in sorted(_table(found, name, "queue").items()):
            is_dead = name == "dead_letters"
            yield ops_pb2.MeshQueue(name=queue, message_count=int(count), is_dead_letters=is_dead)


def _stores(found: Found) -> Iterator[ops_pb2.MeshStore]:
    for (service, store), is_healthy in sorted(
        _table(found, "stores", "service", "dependency").items()
    ):
        yield ops_pb2.MeshStore(service=service, name=store, is_healthy=bool(is_healthy))


def _to_alert(alert: Alert) -> ops_pb2.MeshAlert:
    return ops_pb2.MeshAlert(
        name=alert.name,
        severity=alert.severity,
        summary=alert.summary,
        runbook=alert.runbook,
        since=to_timestamp(alert.since),
        is_firing=alert.is_firing,
    )


def _table(found: Found, name: str, *labels: str) -> Table:
    """Return the values of a query by some of their labels."""
    return {tuple(of.get(each, "") for each in labels): value for of, value in found[name]}


def _point(time: float, values: Mapping[str, Mapping[float, float]]) -> ops_pb2.HistoryPoint:
    return ops_pb2.HistoryPoint(
        time=to_timestamp(datetime.fromtimestamp(time, UTC)),
        rate=values["rate"][time],
        error_rate=values["error_rate"].get(time, 0),
        p95_seconds=values["p95"].get(time),
    )
