"""The aggregated discovery service: which responses a client gets, and when."""

import asyncio

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest
from envoy_data_plane.google.rpc import Status

from services.control_plane.ads import ClientState, DiscoveryServer
from services.control_plane.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from tests.support.metrics import adds

TIMEOUT_SECONDS = 10


def snapshot(**endpoints):
    """Build the snapshot of some services; the values stand for their endpoints."""
    named = {name: value.encode() for name, value in endpoints.items()}
    return {
        CLUSTER: {name: b"cluster" for name in named},
        ENDPOINTS: named,
        LISTENER: {name: b"listener" for name in named},
        ROUTES: {name: b"routes" for name in named},
    }


def subscribe(type_url, *names, nonce="", **more):
    return DiscoveryRequest(
        type_url=type_url, resource_names=list(names), response_nonce=nonce, **more
    )


def nack(type_url, *names, nonce):
    error = Status(code=3, message="bad listener")
    return subscribe(type_url, *names, nonce=nonce, error_detail=error)


BOTH = snapshot(catalog="a", orders="b")


class FakeClient:
    """A client whose requests and responses a test goes through one by one."""

    def __init__(self):
        self.state = ClientState()

    def sends(self, request, resources=BOTH):
        self.state.handle_request(request)
        return self.receives(resources)

    def receives(self, resources):
        return [
            (sent.type_url, [each.value.decode() for each in sent.resources], sent.nonce)
            for sent in self.state.pending_responses(resources)
        ]


@pytest.fixture
def client():
    return FakeClient()


def test_a_subscription_gets_the_resources_that_it_names(client):
    assert client.sends(subscribe(ENDPOINTS, "orders")) == [(ENDPOINTS, ["b"], "1")]


def test_no_names_are_a_wildcard_for_types_that_allow_it(client):
    ((_, clusters, _),) = client.sends(subscribe(CLUSTER))
    assert clusters == ["cluster", "cluster"]
    ((_, listeners, _),) = client.sends(subscribe(LISTENER))
    assert len(listeners) == 2


def test_a_star_is_a_wildcard(client):
    assert len(client.sends(subscribe(CLUSTER, "*"))[0][1]) == 2


@pytest.mark.parametrize("type_url", [ENDPOINTS, ROUTES])
def test_no_names_select_no_resources_of_other_types(client, type_url):
    assert client.sends(subscribe(type_url))[0][1] == []


def test_removing_all_names_is_not_a_wildcard(client):
    client.sends(subscribe(LISTENER, "catalog"))
    assert client.sends(subscribe(LISTENER, nonce="1")) == [(LISTENER, [], "2")]
    assert client.receives(snapshot(catalog="x", orders="y")) == []


def test_a_name_that_is_removed_and_added_again_gets_a_response(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    client.state.handle_request(subscribe(ENDPOINTS, nonce="1"))
    assert client.sends(subscribe(ENDPOINTS, "catalog", nonce="1")) == [(ENDPOINTS, ["a"], "2")]


def test_an_unknown_name_is_left_out_of_the_response(client):
    assert client.sends(subscribe(LISTENER, "unknown")) == [(LISTENER, [], "1")]
    known = client.sends(subscribe(ENDPOINTS, "unknown", "catalog"))
    assert known == [(ENDPOINTS, ["a"], "1")]


def test_an_ack_gets_no_response(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    assert client.sends(subscribe(ENDPOINTS, "catalog", nonce="1")) == []


def test_only_a_change_of_subscribed_resources_is_sent(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    assert client.receives(snapshot(catalog="a", orders="other")) == []
    assert client.receives(snapshot(catalog="other", orders="b")) == [(ENDPOINTS, ["other"], "2")]
    assert client.receives(snapshot(catalog="other", orders="b")) == []


def test_changed_names_get_a_response(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    assert client.sends(subscribe(ENDPOINTS, "catalog", "orders", nonce="1")) == [
        (ENDPOINTS, ["a", "b"], "2")
    ]


def test_changed_names_get_a_response_even_if_the_content_is_the_same(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    assert client.sends(subscribe(ENDPOINTS, "catalog", "unknown", nonce="1")) == [
        (ENDPOINTS, ["a"], "2")
    ]


def test_a_request_with_a_stale_nonce_is_ignored(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    client.receives(snapshot(catalog="second", orders="b"))
    assert (
        client.sends(
            subscribe(ENDPOINTS, "orders", nonce="1"), snapshot(catalog="second", orders="b")
        )
        == []
    )


def test_a_nack_is_logged_and_the_rejected_version_is_not_sent_again(client, log):
    client.sends(subscribe(LISTENER, "catalog", node=None))
    assert [client.sends(nack(LISTENER, "catalog", nonce="1")) for _ in range(3)] == [[], [], []]
    nacks = [line for line in log if line["event"] == "nack_received"]
    assert {(line["error"], line["type"]) for line in nacks} == {("bad listener", LISTENER)}


def test_after_a_nack_a_new_version_is_sent(client):
    client.sends(subscribe(ENDPOINTS, "catalog"))
    client.sends(nack(ENDPOINTS, "catalog", nonce="1"))
    assert client.receives(snapshot(catalog="better", orders="b")) == [(ENDPOINTS, ["better"], "2")]


def test_resources_are_sent_after_those_that_they_refer_to(client):
    for type_url in (ROUTES, LISTENER, ENDPOINTS, CLUSTER):
        client.state.handle_request(subscribe(type_url, "catalog"))
    sent = [type_url for type_url, _, _ in client.receives(BOTH)]
    assert sent == [CLUSTER, ENDPOINTS, LISTENER, ROUTES]


def test_a_request_for_an_unknown_type_is_ignored(client):
    assert client.sends(subscribe("type.googleapis.com/envoy.config.unknown")) == []


def test_a_new_stream_gets_a_response_even_with_a_known_version(client):
    known = subscribe(ENDPOINTS, "catalog", version_info="something")
    assert client.sends(known) == [(ENDPOINTS, ["a"], "1")]


class FakeStream:
    """The client's side of a stream of `DiscoveryServer.stream`."""

    def __init__(self, server):
        self._requests: asyncio.Queue = asyncio.Queue()
        self._responses = server.stream(self._sent(), None)

    async def _sent(self):
        while (request := await self._requests.get()) is not None:
            yield request

    def send(self, request):
        self._requests.put_nowait(request)

    def close(self):
        self._requests.put_nowait(None)

    async def receive(self):
        response = await asyncio.wait_for(anext(self._responses), TIMEOUT_SECONDS)
        return [each.value.decode(errors="replace") for each in response.resources]


def test_no_response_is_sent_before_the_first_snapshot():
    async def scenario():
        server = DiscoveryServer()
        stream = FakeStream(server)
        stream.send(subscribe(ENDPOINTS, "catalog"))
        waiting = asyncio.create_task(stream.receive())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert not server.is_ready
        server.publish(BOTH)
        assert await waiting == ["a"]

    asyncio.run(scenario())


def test_a_change_is_sent_to_every_client():
    async def scenario():
        server = DiscoveryServer()
        server.publish(BOTH)
        streams = [FakeStream(server) for _ in range(3)]
        for stream in streams:
            stream.send(subscribe(ENDPOINTS, "catalog"))
            assert await stream.receive() == ["a"]
        server.publish(snapshot(catalog="new", orders="b"))
        for stream in streams:
            assert await stream.receive() == ["new"]

    asyncio.run(scenario())


def test_streams_end_when_the_server_closes():
    async def scenario():
        server = DiscoveryServer()
        server.publish(BOTH)
        stream = FakeStream(server)
        stream.send(subscribe(ENDPOINTS, "catalog"))
        await stream.receive()
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(StopAsyncIteration):
            await waiting

    asyncio.run(scenario())


def test_a_stream_ends_when_its_client_closes_it():
    async def scenario():
        server = DiscoveryServer()
        server.publish(BOTH)
        stream = FakeStream(server)
        stream.send(subscribe(ENDPOINTS, "catalog"))
        await stream.receive()
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await stream.receive()
        assert not server._streams

    asyncio.run(scenario())


def test_responses_and_rejections_are_counted(client):
    with adds(1, "mamie_xds_pushes_total", type="Listener"):
        client.sends(subscribe(LISTENER, "catalog"))
    with adds(1, "mamie_xds_nacks_total", type="Listener"):
        client.sends(nack(LISTENER, "catalog", nonce="1"))
