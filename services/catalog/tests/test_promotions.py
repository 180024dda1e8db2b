"""The client of the promotions service: its cache, against a real gRPC server."""

import grpc
import pytest
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc
from typing_extensions import override

from services.catalog.domain import Promotion
from services.catalog.promotions import PromotionsOverGrpc
from services.common.mesh.channels import open_channel
from services.common.rpc.server import GrpcServer, ServiceBinding

pytestmark = pytest.mark.integration

SERVICE = "mamie_rosa.promotions.internal.v1.PromotionsService"


class NumberedPromotions(promotions_pb2_grpc.PromotionsServiceServicer):
    """Answers each call with another code: CALL1, CALL2, ..."""

    def __init__(self):
        self.calls = 0

    @override
    def ListActivePromotions(
        self, request: promotions_pb2.ListActivePromotionsRequest, context: grpc.ServicerContext
    ) -> promotions_pb2.ListActivePromotionsResponse:
        self.calls += 1
        promotion = promotions_pb2.ActivePromotion(
            code=f"CALL{self.calls}", discount_percentage=10, category="toys"
        )
        return promotions_pb2.ListActivePromotionsResponse(promotions=[promotion])


@pytest.fixture
def server():
    add = promotions_pb2_grpc.add_PromotionsServiceServicer_to_server
    servicer = NumberedPromotions()  # type: ignore[abstract]  # the client calls one method
    server = GrpcServer(
        bindings=[ServiceBinding(SERVICE, servicer, add)],
        host="127.0.0.1",
        port=0,
        worker_threads=1,
        queue_limit=8,
    )
    server.start()
    yield server
    server.stop(0)


class AdjustableTime:
    """A monotonic clock that the test sets, in seconds."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def time():
    return AdjustableTime()


@pytest.fixture
def promotions(server, time):
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield PromotionsOverGrpc(channel, cache_seconds=3, timeout_seconds=5, monotonic=time)


def test_active_promotions_are_cached_until_they_are_too_old(promotions, time):
    first = [Promotion(code="CALL1", discount_percentage=10, category="toys")]
    assert promotions.list_active() == first
    time.seconds = 2.9
    assert promotions.list_active() == first
    time.seconds = 3
    assert [promotion.code for promotion in promotions.list_active()] == ["CALL2"]


def test_the_last_promotions_are_used_while_the_service_is_unavailable(promotions, server, time):
    before = promotions.list_active()
    server.stop(0)
    time.seconds = 3
    assert promotions.list_active() == before


def test_there_are_no_promotions_before_the_first_answer():
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        assert list(PromotionsOverGrpc(channel).list_active()) == []
