"""The rendered configuration of Envoy, and the checks of scripts/check on it."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.edge import check, render
from scripts.edge.check import filter_config, find_problems, public_manager
from scripts.edge.render import SOURCES, UnknownValueError
from scripts.paths import DESCRIPTORS, ROOT
from scripts.protos import methods

Json = dict[str, Any]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Json:
    rendered = check.render_sample(tmp_path_factory.mktemp("sample"))
    loaded: Json = json.loads(rendered.read_text())
    return loaded


@pytest.fixture(scope="module")
def manager(configuration: Json) -> Json:
    return public_manager(configuration)


def test_both_ports_have_the_same_filters(configuration: Json) -> None:
    http, https = configuration["static_resources"]["listeners"][:2]
    assert http["filter_chains"][0]["filters"] == https["filter_chains"][0]["filters"]


def test_connections_have_small_buffers(configuration: Json) -> None:
    for listener in configuration["static_resources"]["listeners"][:2]:
        assert listener["per_connection_buffer_limit_bytes"] == 32768


def test_tls_is_1_2_or_newer(configuration: Json) -> None:
    socket = configuration["static_resources"]["listeners"][1]["filter_chains"][0]
    context = socket["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"
    assert context["alpn_protocols"] == ["h2", "http/1.1"]
    assert "transport_socket_connect_timeout" in socket


def test_the_admin_interface_listens_on_loopback(configuration: Json) -> None:
    assert configuration["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_memory_and_connections_have_limits(configuration: Json) -> None:
    overload = configuration["overload_manager"]
    limits = {monitor["name"]: monitor["typed_config"] for monitor in overload["resource_monitors"]}
    assert limits["envoy.resource_monitors.fixed_heap"]["max_heap_size_bytes"]
    connections = limits["envoy.resource_monitors.global_downstream_max_connections"]
    assert connections["max_active_downstream_connections"] == 5000
    assert {action["name"] for action in overload["actions"]} == {
        "envoy.overload_actions.shrink_heap",
        "envoy.overload_actions.stop_accepting_requests",
    }


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("use_remote_address", True),
        ("xff_num_trusted_hops", 0),
        ("normalize_path", True),
        ("merge_slashes", True),
        ("path_with_escaped_slashes_action", "REJECT_REQUEST"),
        ("request_timeout", "30s"),
        ("request_headers_timeout", "10s"),
        ("stream_idle_timeout", "60s"),
        ("max_request_headers_kb", 16),
        ("always_set_request_id_in_response", True),
    ],
)
def test_the_http_connection_manager_is_hardened(
    manager: Json, setting: str, value: object
) -> None:
    assert manager[setting] == value


def test_connections_have_a_limited_lifetime(manager: Json) -> None:
    assert manager["common_http_protocol_options"] == {
        "idle_timeout": "300s",
        "max_headers_count": 64,
        "max_requests_per_connection": 10000,
        "headers_with_underscores_action": "REJECT_REQUEST",
    }


def test_http_2_has_few_streams_and_small_windows(manager: Json) -> None:
    assert manager["http2_protocol_options"] == {
        "max_concurrent_streams": 100,
        "initial_stream_window_size": 65536,
        "initial_connection_window_size": 1048576,
    }


def test_bodies_are_limited_to_one_mebibyte(manager: Json) -> None:
    assert filter_config(manager, "envoy.filters.http.buffer")["max_request_bytes"] == 1 << 20
    assert filter_config(manager, check.TRANSCODER)["max_request_body_size"] == 1 << 20


def test_the_cache_is_limited_and_off_by_default(manager: Json) -> None:
    (entry,) = [each for each in manager["http_filters"] if each["name"].endswith(".cache")]
    assert entry["disabled"] is True
    assert entry["typed_config"]["typed_config"]["max_cache_size_bytes"] == 32 << 20
    assert entry["typed_config"]["typed_config"]["max_cache_entry_count"] == 2000


def test_the_transcoder_is_strict(manager: Json) -> None:
    transcoder = filter_config(manager, check.TRANSCODER)
    assert set(transcoder["request_validation_options"].values()) == {True}
    assert len(transcoder["request_validation_options"]) == 3
    assert transcoder["ignored_query_parameters"] == methods.path_fields(DESCRIPTORS)


def test_the_rate_limit_counts_twenty_thousand_addresses(manager: Json) -> None:
    limits = filter_config(manager, "envoy.filters.http.local_ratelimit")
    assert limits["max_dynamic_descriptors"] == 20000


def test_filters_are_in_the_required_order(manager: Json) -> None:
    names = [each["name"].removeprefix("envoy.filters.http.") for each in manager["http_filters"]]
    assert names == [
        *("lua", "cors", "compressor", "grpc_web", "local_ratelimit", "rbac"),
        *("jwt_authn", "buffer", "cache", "grpc_json_transcoder", "router"),
    ]


def routes_of(manager: Json, *, streaming: bool) -> Iterator[tuple[Json, Json]]:
    """Yield the route of each public method, with its deadline header."""
    (host,) = manager["route_config"]["virtual_hosts"]
    for method in methods.public_methods(DESCRIPTORS):
        if (method.service in check.STREAMING) == streaming:
            entry = check.first_match(host["routes"], method.grpc_path)
            added = entry.get("request_headers_to_add", host["request_headers_to_add"])
            yield entry["route"], added[0]["header"]


def test_every_public_route_times_out_before_the_deadline_of_its_service(manager: Json) -> None:
    for route, header in routes_of(manager, streaming=False):
        assert header["key"] == "grpc-timeout"
        assert float(route["timeout"].rstrip("s")) < float(header["value"].rstrip("S"))


def test_a_stream_lives_as_long_as_a_token_while_it_is_not_idle(manager: Json) -> None:
    ((route, header),) = routes_of(manager, streaming=True)
    assert header == {"key": "grpc-timeout", "value": "1H"}
    assert (route["timeout"], route["idle_timeout"]) == ("0s", "60s")


def test_every_error_of_the_table_has_both_forms(manager: Json) -> None:
    table = yaml.safe_load((SOURCES / "errors.yaml").read_text())
    assert len(manager["local_reply_config"]["mappers"]) == 2 * len(table)
    assert table[-1]["when"] == "true"


def test_every_error_of_the_table_is_documented() -> None:
    table = yaml.safe_load((SOURCES / "errors.yaml").read_text())
    documented = (ROOT / "docs" / "edge.md").read_text()
    for error in table:
        assert re.search(rf"\| {error['code']} \| `{error['reason']}` \|", documented), error


def test_a_missing_value_is_named() -> None:
    with pytest.raises(UnknownValueError, match="RATE_LIMIT_PER_MINUTE"):
        render._load("limits.yaml", {})


class TestCheck:
    """scripts/check finds planted faults in the configuration."""

    @pytest.fixture
    def changed(self, configuration: Json) -> Json:
        return copy.deepcopy(configuration)

    @staticmethod
    def problems(configuration: Json) -> str:
        return "\n".join(find_problems(configuration, DESCRIPTORS))

    def test_the_configuration_has_no_problems(self, configuration: Json) -> None:
        assert self.problems(configuration) == ""

    def test_a_service_that_is_not_transcoded_is_found(self, changed: Json) -> None:
        filter_config(public_manager(changed), check.TRANSCODER)["services"].pop()
        assert "is public and not in the transcoder's list" in self.problems(changed)

    def test_a_service_without_public_methods_is_found(self, changed: Json) -> None:
        services = filter_config(public_manager(changed), check.TRANSCODER)["services"]
        services.append("mamie_rosa.payments.internal.v1.PaymentsService")
        assert "has no public method" in self.problems(changed)
        assert "PaymentsService is internal and named" in self.problems(changed)

    def test_a_missing_route_is_found(self, changed: Json) -> None:
        (host,) = public_manager(changed)["route_config"]["virtual_hosts"]
        host["routes"] = host["routes"][-1:]
        assert "leads to nowhere, not to orders" in self.problems(changed)

    def test_a_route_to_an_internal_service_is_found(self, changed: Json) -> None:
        (host,) = public_manager(changed)["route_config"]["virtual_hosts"]
        host["routes"].insert(0, {"match": {"prefix": "/"}, "route": {"cluster": "catalog"}})
        assert "VerifyStock is internal and has a route" in self.problems(changed)

    def test_a_stream_with_a_timeout_is_found(self, changed: Json) -> None:
        (host,) = public_manager(changed)["route_config"]["virtual_hosts"]
        path = "/mamie_rosa.orders.v1.OrderEventsService/WatchOrder"
        check.first_match(host["routes"], path)["route"]["timeout"] = "5s"
        assert "WatchOrder is cut off though it streams" in self.problems(changed)

    def test_a_call_without_a_timeout_is_found(self, changed: Json) -> None:
        (host,) = public_manager(changed)["route_config"]["virtual_hosts"]
        path = "/mamie_rosa.orders.v1.OrdersService/CreateOrder"
        check.first_match(host["routes"], path)["route"]["timeout"] = "0s"
        assert "CreateOrder is waited for without end" in self.problems(changed)

    def test_a_write_that_is_retried_is_found(self, changed: Json) -> None:
        (host,) = public_manager(changed)["route_config"]["virtual_hosts"]
        host["retry_policy"]["retry_on"] += ",unavailable"
        assert "CreateOrder is repeated though it changes things" in self.problems(changed)

    def test_a_method_without_a_token_rule_is_found(self, changed: Json) -> None:
        tokens = filter_config(public_manager(changed), check.TOKENS)
        tokens["rules"] = tokens["rules"][:-2]
        assert "neither open nor in need of a token" in self.problems(changed)

    def test_a_method_that_is_open_over_grpc_alone_is_found(self, changed: Json) -> None:
        rules = filter_config(public_manager(changed), check.TOKENS)["rules"]
        rules.insert(0, {"match": {"path": "/mamie_rosa.orders.v1.OrdersService/GetOrder"}})
        assert "OrdersService/GetOrder needs a token in one of" in self.problems(changed)

    def test_a_configuration_that_envoy_rejects_is_found(
        self, changed: Json, tmp_path: Path
    ) -> None:
        public_manager(changed)["max_request_headers_kb"] = "many"
        file = tmp_path / "envoy.json"
        file.write_text(json.dumps(changed))
        assert "max_request_headers_kb" in check.refusal(file)[0]
