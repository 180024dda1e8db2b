"""The aggregated discovery service: who is told what, and when."""

import asyncio

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest
from envoy_data_plane.google.rpc import Status

from services.control_plane.ads import Client, DiscoveryServer
from services.control_plane.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES

PATIENCE_SECONDS = 10


def mesh(**endpoints):
    """Return the resources of services, by name, with something that varies in each."""
    named = {name: value.encode() for name, value in endpoints.items()}
    return {
        CLUSTER: {name: b"cluster" for name in named},
        ENDPOINTS: named,
        LISTENER: {name: b"listener" for name in named},
        ROUTES: {name: b"routes" for name in named},
    }


def ask(type_url, *names, nonce="", **more):
    return DiscoveryRequest(
        type_url=type_url, resource_names=list(names), response_nonce=nonce, **more
    )


def refuse(type_url, *names, nonce):
    return ask(type_url, *names, nonce=nonce, error_detail=Status(code=3, message="bad listener"))


BOTH = mesh(catalog="a", orders="b")


class Talk:
    """One client's stream, request by request."""

    def __init__(self):
        self.client = Client()

    def says(self, request, resources=BOTH):
        self.client.subscribe(request)
        return self.news(resources)

    def news(self, resources):
        return [
            (answer.type_url, [each.value.decode() for each in answer.resources], answer.nonce)
            for answer in self.client.news(resources)
        ]


@pytest.fixture
def talk():
    return Talk()


def test_a_subscription_is_answered_with_what_it_names(talk):
    assert talk.says(ask(ENDPOINTS, "orders")) == [(ENDPOINTS, ["b"], "1")]


def test_no_names_mean_all_of_a_type_that_allows_it(talk):
    ((_, clusters, _),) = talk.says(ask(CLUSTER))
    assert clusters == ["cluster", "cluster"]
    ((_, listeners, _),) = talk.says(ask(LISTENER))
    assert len(listeners) == 2


def test_a_star_means_all(talk):
    assert len(talk.says(ask(CLUSTER, "*"))[0][1]) == 2


@pytest.mark.parametrize("type_url", [ENDPOINTS, ROUTES])
def test_no_names_mean_nothing_of_the_other_types(talk, type_url):
    assert talk.says(ask(type_url))[0][1] == []


def test_who_takes_back_all_names_wants_nothing(talk):
    talk.says(ask(LISTENER, "catalog"))
    assert talk.says(ask(LISTENER, nonce="1")) == [(LISTENER, [], "2")]
    assert talk.news(mesh(catalog="x", orders="y")) == []


def test_who_takes_back_a_name_and_asks_again_is_answered_again(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    talk.client.subscribe(ask(ENDPOINTS, nonce="1"))
    assert talk.says(ask(ENDPOINTS, "catalog", nonce="1")) == [(ENDPOINTS, ["a"], "2")]


def test_something_unknown_is_answered_without_it(talk):
    assert talk.says(ask(LISTENER, "nobody")) == [(LISTENER, [], "1")]
    known = talk.says(ask(ENDPOINTS, "nobody", "catalog"))
    assert known == [(ENDPOINTS, ["a"], "1")]


def test_an_acknowledgement_is_not_answered(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    assert talk.says(ask(ENDPOINTS, "catalog", nonce="1")) == []


def test_there_is_news_only_when_what_was_asked_for_has_changed(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    assert talk.news(mesh(catalog="a", orders="other")) == []
    assert talk.news(mesh(catalog="other", orders="b")) == [(ENDPOINTS, ["other"], "2")]
    assert talk.news(mesh(catalog="other", orders="b")) == []


def test_changed_names_are_answered(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    assert talk.says(ask(ENDPOINTS, "catalog", "orders", nonce="1")) == [
        (ENDPOINTS, ["a", "b"], "2")
    ]


def test_changed_names_are_answered_even_if_nothing_more_is_known(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    assert talk.says(ask(ENDPOINTS, "catalog", "nobody", nonce="1")) == [(ENDPOINTS, ["a"], "2")]


def test_a_stale_nonce_is_ignored(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    talk.news(mesh(catalog="second", orders="b"))
    assert talk.says(ask(ENDPOINTS, "orders", nonce="1"), mesh(catalog="second", orders="b")) == []


def test_a_refusal_is_logged_and_what_was_refused_is_not_sent_again(talk, log):
    talk.says(ask(LISTENER, "catalog", node=None))
    assert [talk.says(refuse(LISTENER, "catalog", nonce="1")) for _ in range(3)] == [[], [], []]
    refused = [line for line in log if line["event"] == "refused"]
    assert {(line["why"], line["type"]) for line in refused} == {("bad listener", LISTENER)}


def test_after_a_refusal_a_change_is_sent(talk):
    talk.says(ask(ENDPOINTS, "catalog"))
    talk.says(refuse(ENDPOINTS, "catalog", nonce="1"))
    assert talk.news(mesh(catalog="better", orders="b")) == [(ENDPOINTS, ["better"], "2")]


def test_what_refers_to_something_comes_after_it(talk):
    for type_url in (ROUTES, LISTENER, ENDPOINTS, CLUSTER):
        talk.client.subscribe(ask(type_url, "catalog"))
    told = [type_url for type_url, _, _ in talk.news(BOTH)]
    assert told == [CLUSTER, ENDPOINTS, LISTENER, ROUTES]


def test_unknown_types_are_passed_over(talk):
    assert talk.says(ask("type.googleapis.com/envoy.config.unknown")) == []


def test_a_new_stream_is_answered_whatever_it_knew_before(talk):
    known = ask(ENDPOINTS, "catalog", version_info="something")
    assert talk.says(known) == [(ENDPOINTS, ["a"], "1")]


class Line:
    """A client's end of a stream, for `DiscoveryServer.stream`."""

    def __init__(self, server):
        self._requests: asyncio.Queue = asyncio.Queue()
        self._answers = server.stream(self._sent(), None)

    async def _sent(self):
        while (request := await self._requests.get()) is not None:
            yield request

    def send(self, request):
        self._requests.put_nowait(request)

    def hang_up(self):
        self._requests.put_nowait(None)

    async def receive(self):
        answer = await asyncio.wait_for(anext(self._answers), PATIENCE_SECONDS)
        return [each.value.decode() for each in answer.resources]


def test_nobody_is_told_anything_before_the_first_word():
    async def scenario():
        server = DiscoveryServer()
        line = Line(server)
        line.send(ask(ENDPOINTS, "catalog"))
        waiting = asyncio.create_task(line.receive())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert not server.is_ready
        server.publish(BOTH)
        assert await waiting == ["a"]

    asyncio.run(scenario())


def test_every_client_is_told_of_a_change():
    async def scenario():
        server = DiscoveryServer()
        server.publish(BOTH)
        lines = [Line(server) for _ in range(3)]
        for line in lines:
            line.send(ask(ENDPOINTS, "catalog"))
            assert await line.receive() == ["a"]
        server.publish(mesh(catalog="new", orders="b"))
        for line in lines:
            assert await line.receive() == ["new"]

    asyncio.run(scenario())


def test_streams_end_when_the_server_closes():
    async def scenario():
        server = DiscoveryServer()
        server.publish(BOTH)
        line = Line(server)
        line.send(ask(ENDPOINTS, "catalog"))
        await line.receive()
        waiting = asyncio.create_task(line.receive())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(StopAsyncIteration):
            await waiting

    asyncio.run(scenario())


def test_a_stream_ends_when_its_client_hangs_up():
    async def scenario():
        server = DiscoveryServer()
        server.publish(BOTH)
        line = Line(server)
        line.send(ask(ENDPOINTS, "catalog"))
        await line.receive()
        line.hang_up()
        with pytest.raises(StopAsyncIteration):
            await line.receive()
        assert not server._streams

    asyncio.run(scenario())
