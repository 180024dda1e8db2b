"""What /ops asks Prometheus, in PromQL.

Where a dashboard (deploy/grafana/dashboards) shows the same, the query is the same.
"""

from collections.abc import Mapping

FAILED = "UNKNOWN|INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED|DATA_LOSS"
"""The codes that are errors of a server; the rest are answers."""

HISTORY: Mapping[str, str] = {
    "rate": "sum by (service) (rate(grpc_server_handling_seconds_count[1m]))",
    "error_rate": "sum by (service) (rate(grpc_server_handling_seconds_count"
    f'{{grpc_code=~"{FAILED}"}}[1m]))',
    "p95": "histogram_quantile(0.95, sum by (le, service)"
    " (rate(grpc_server_handling_seconds_bucket[5m])))",
}
"""Of every service, over time."""

MESH: Mapping[str, str] = {
    **HISTORY,
    "healthy": "max by (upstream) (mamie_xds_instances)",
    "processes": 'count by (service) (up{job="services"} == 1)',
    "call_rate": "sum by (service, upstream) (rate(mamie_upstream_call_seconds_count[1m]))",
    "call_error_rate": "sum by (service, upstream) (rate(mamie_upstream_call_seconds_count"
    f'{{grpc_code=~"{FAILED}"}}[1m]))',
    "call_p95": "histogram_quantile(0.95, sum by (le, service, upstream)"
    " (rate(mamie_upstream_call_seconds_bucket[5m])))",
    "circuit_open": "max by (service, upstream) (mamie_circuit_breaker_open)",
    "edge_rate": "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_xx[1m]))",
    "edge_error_rate": "sum by (envoy_cluster_name)"
    ' (rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[1m]))',
    "edge_p95": "histogram_quantile(0.95, sum by (le, envoy_cluster_name)"
    " (rate(envoy_cluster_upstream_rq_time_bucket[5m])))",
    "relay_age": 'min by (service) (mamie_worker_last_success_age_seconds{worker="outbox-relay"})',
    "outbox_delay": "histogram_quantile(0.95, sum by (le, service)"
    " (rate(mamie_outbox_publish_delay_seconds_bucket[5m])))",
    "messages": 'sum by (queue) (rabbitmq_detailed_queue_messages{queue!~".+\\\\.dead"})',
    "dead_letters": 'sum by (queue) (rabbitmq_detailed_queue_messages{queue=~".+\\\\.dead"})',
    "stores": "min by (service, dependency) (mamie_dependency_healthy)",
}
"""Of the mesh, now."""
