"""What the rendered configuration must say, whoever edits envoy/ next."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pb2
from mamie_rosa.options.v1 import options_pb2

from scripts.edge import check, render
from scripts.edge.check import filter_config, find_problems, public_manager
from scripts.edge.render import SOURCES, UnknownValueError
from scripts.manifests import read_services
from scripts.paths import DESCRIPTORS, ROOT
from scripts.protos import methods
from services.common.rpc.tokens import AUDIENCE, ISSUER, LEEWAY_SECONDS

Json = dict[str, Any]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Json:
    rendered = check.render_sample(tmp_path_factory.mktemp("sample"))
    said: Json = json.loads(rendered.read_text())
    return said


@pytest.fixture(scope="module")
def manager(configuration: Json) -> Json:
    return public_manager(configuration)


def test_every_port_speaks_the_same(configuration: Json) -> None:
    http, https = configuration["static_resources"]["listeners"][:2]
    assert http["filter_chains"][0]["filters"] == https["filter_chains"][0]["filters"]


def test_connections_buffer_little(configuration: Json) -> None:
    for listener in configuration["static_resources"]["listeners"][:2]:
        assert listener["per_connection_buffer_limit_bytes"] == 32768


def test_tls_is_1_2_or_newer(configuration: Json) -> None:
    socket = configuration["static_resources"]["listeners"][1]["filter_chains"][0]
    context = socket["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"
    assert context["alpn_protocols"] == ["h2", "http/1.1"]
    assert "transport_socket_connect_timeout" in socket


def test_the_admin_interface_is_for_this_machine(configuration: Json) -> None:
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
def test_http_is_spoken_carefully(manager: Json, setting: str, value: object) -> None:
    assert manager[setting] == value


def test_connections_do_not_live_for_ever(manager: Json) -> None:
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


def test_bodies_end_at_one_mebibyte(manager: Json) -> None:
    assert filter_config(manager, "envoy.filters.http.buffer")["max_request_bytes"] == 1 << 20
    assert filter_config(manager, check.TRANSCODER)["max_request_body_size"] == 1 << 20


def test_the_cache_has_an_end_and_is_off_where_no_route_turns_it_on(manager: Json) -> None:
    (entry,) = [each for each in manager["http_filters"] if each["name"].endswith(".cache")]
    assert entry["disabled"] is True
    assert entry["typed_config"]["typed_config"]["max_cache_size_bytes"] == 32 << 20
    assert entry["typed_config"]["typed_config"]["max_cache_entry_count"] == 2000


def test_the_transcoder_is_strict(manager: Json) -> None:
    transcoder = filter_config(manager, check.TRANSCODER)
    assert set(transcoder["request_validation_options"].values()) == {True}
    assert len(transcoder["request_validation_options"]) == 3
    assert transcoder["ignored_query_parameters"] == methods.path_fields(DESCRIPTORS)


def test_twenty_thousand_clients_have_limits_of_their_own(manager: Json) -> None:
    limits = filter_config(manager, "envoy.filters.http.local_ratelimit")
    assert limits["max_dynamic_descriptors"] == 20000


def test_services_accept_every_token_that_the_edge_lets_in(manager: Json) -> None:
    (provider,) = filter_config(manager, check.TOKENS)["providers"].values()
    assert (provider["issuer"], provider["audiences"]) == (ISSUER, [AUDIENCE])
    assert provider["clock_skew_seconds"] < LEEWAY_SECONDS
    assert provider["forward"] is True


def test_filters_stand_in_the_order_that_makes_them_work(manager: Json) -> None:
    names = [each["name"].removeprefix("envoy.filters.http.") for each in manager["http_filters"]]
    assert names == [
        *("lua", "cors", "compressor", "grpc_web", "lua", "local_ratelimit", "rbac"),
        *("jwt_authn", "buffer", "cache", "grpc_json_transcoder", "lua", "router"),
    ]


def routes_of(manager: Json, *, streaming: bool) -> Iterator[tuple[Json, Json]]:
    """Yield the route of each public method, with the header of its deadline."""
    (host,) = manager["route_config"]["virtual_hosts"]
    for method in methods.public_methods(DESCRIPTORS):
        if method.streams == streaming:
            entry = check.first_match(host["routes"], method.grpc_path)
            added = entry.get("request_headers_to_add", host["request_headers_to_add"])
            yield entry["route"], added[0]["header"]


def test_every_public_route_gives_up_before_its_service_does(manager: Json) -> None:
    for route, header in routes_of(manager, streaming=False):
        assert header["key"] == "grpc-timeout"
        assert float(route["timeout"].rstrip("s")) < float(header["value"].rstrip("S"))


def test_a_stream_lives_as_long_as_a_token_if_there_are_signs_of_life(manager: Json) -> None:
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


def test_a_value_that_nobody_gives_is_named() -> None:
    with pytest.raises(UnknownValueError, match="RATE_LIMIT_PER_MINUTE is not defined"):
        render._load("limits.yaml", {})


class TestCheck:
    """What scripts/check says about an edge that somebody broke."""

    @pytest.fixture
    def broken(self, configuration: Json) -> Json:
        return copy.deepcopy(configuration)

    @staticmethod
    def problems(configuration: Json) -> str:
        return "\n".join(find_problems(configuration, DESCRIPTORS, read_services()))

    def test_it_is_content_with_ours(self, configuration: Json) -> None:
        assert self.problems(configuration) == ""

    def test_a_forgotten_service_is_found(self, broken: Json) -> None:
        filter_config(public_manager(broken), check.TRANSCODER)["services"].pop()
        assert "is public and not in the transcoder's list" in self.problems(broken)

    def test_a_service_without_public_methods_is_found(self, broken: Json) -> None:
        services = filter_config(public_manager(broken), check.TRANSCODER)["services"]
        services.append("mamie_rosa.payments.internal.v1.PaymentsService")
        assert "has no public method" in self.problems(broken)
        assert "PaymentsService is internal and named" in self.problems(broken)

    def test_a_service_that_is_not_public_in_its_manifest_is_found(self, broken: Json) -> None:
        services = [replace(each, public=each.name != "users") for each in read_services()]
        problems = "\n".join(find_problems(broken, DESCRIPTORS, services))
        assert "users has public methods and is not public in its manifest" in problems
        assert "payments is public in its manifest and has no public method" in problems

    def test_a_method_that_declares_no_access_is_found(self, broken: Json, tmp_path: Path) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
        methods = [m for file in files.file for service in file.service for m in service.method]
        (found,) = [method for method in methods if method.name == "GetHome"]
        found.options.ClearExtension(options_pb2.access)
        changed = tmp_path / "descriptors.binpb"
        changed.write_bytes(files.SerializeToString())
        problems = "\n".join(find_problems(broken, changed, read_services()))
        assert "StorefrontService/GetHome declares no (mamie_rosa.options.v1.access)" in problems

    def test_a_missing_route_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        host["routes"] = host["routes"][-1:]
        assert "leads to nowhere, not to orders" in self.problems(broken)

    def test_a_route_to_an_internal_service_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        host["routes"].insert(0, {"match": {"prefix": "/"}, "route": {"cluster": "catalog"}})
        assert "VerifyStock is internal and has a route" in self.problems(broken)

    def test_a_stream_that_is_cut_off_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        path = "/mamie_rosa.orders.v1.OrderEventsService/WatchOrder"
        check.first_match(host["routes"], path)["route"]["timeout"] = "5s"
        assert "WatchOrder has a timeout though it streams" in self.problems(broken)

    def test_a_call_without_an_end_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        path = "/mamie_rosa.orders.v1.OrdersService/CreateOrder"
        check.first_match(host["routes"], path)["route"]["timeout"] = "0s"
        assert "CreateOrder has no timeout" in self.problems(broken)

    def test_a_change_that_is_repeated_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        host["retry_policy"]["retry_on"] += ",unavailable"
        assert "CreateOrder is retried though it changes state" in self.problems(broken)

    def test_a_method_without_a_token_rule_is_found(self, broken: Json) -> None:
        tokens = filter_config(public_manager(broken), check.TOKENS)
        tokens["rules"] = tokens["rules"][:-2]
        assert "OrdersService/GetOrder has no rule" in self.problems(broken)

    def test_a_method_that_is_open_by_one_way_alone_is_found(self, broken: Json) -> None:
        rules = filter_config(public_manager(broken), check.TOKENS)["rules"]
        rules.insert(0, {"match": {"path": "/mamie_rosa.orders.v1.OrdersService/GetOrder"}})
        assert "GetOrder does not need a token, and its access is SIGNED_IN" in self.problems(
            broken
        )

    def test_a_service_that_does_not_receive_the_token_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        path = "/mamie_rosa.orders.v1.OrdersService/CreateOrder"
        check.first_match(host["routes"], path)["request_headers_to_remove"] = ["authorization"]
        assert "CreateOrder loses the token" in self.problems(broken)

    def test_a_service_that_receives_a_token_for_nothing_is_found(self, broken: Json) -> None:
        (host,) = public_manager(broken)["route_config"]["virtual_hosts"]
        path = "/mamie_rosa.users.v1.UsersService/LoginUser"
        check.first_match(host["routes"], path)["request_headers_to_remove"] = []
        assert "LoginUser receives a token that it does not need" in self.problems(broken)

    def test_what_envoy_does_not_take_is_found(self, broken: Json, tmp_path: Path) -> None:
        public_manager(broken)["max_request_headers_kb"] = "many"
        file = tmp_path / "envoy.json"
        file.write_text(json.dumps(broken))
        assert "max_request_headers_kb" in check.rejection(file)[0]
