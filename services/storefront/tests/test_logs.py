"""What the storefront logs when a part of the page fails: nothing about a person."""

import grpc
import pytest
from mamie_rosa.orders.v1 import orders_pb2
from mamie_rosa.users.v1 import users_pb2
from typing_extensions import override

from services.common.tests.logs import assert_nothing_private, logged
from services.storefront.parts import Part, translate_errors
from services.storefront.tests.fakes import FakePart, build_fakes, build_home
from tests.support.shop import ADDRESS

PROFILE = users_pb2.User(email="alice@customers.example", first_name="Alice", last_name="Martin")
ORDER = orders_pb2.Order(
    shipping=orders_pb2.Shipping(address=orders_pb2.Address(line1=ADDRESS["line1"]))
)


class TalkativeError(grpc.RpcError):
    """An upstream's error whose text quotes what it was asked or had to answer."""

    def code(self):
        return grpc.StatusCode.INTERNAL

    def details(self):
        return str(PROFILE)

    def __str__(self):
        return str(PROFILE)


class FailingPart(Part):
    """A part whose upstream fails."""

    @override
    def fetch(self, user_id):
        with translate_errors():
            raise TalkativeError


@pytest.fixture
def output():
    with logged("storefront") as lines:
        yield lines


def test_the_text_of_an_upstreams_error_is_not_logged(output):
    build_home(build_fakes() | {"profile": FailingPart()}).compose("alice")
    assert_nothing_private(output, event="part_degraded")


def test_a_crash_on_the_way_to_a_persons_data_logs_none_of_it(output):
    class CrashingPart(FakePart):
        @override
        def fetch(self, user_id):
            return orders_pb2.ListOrdersResponse(orders=self.value).FromString(
                self.value[0].SerializeToString()[:-1]
            )

    build_home(build_fakes() | {"orders": CrashingPart([ORDER])}).compose("alice")
    assert_nothing_private(output, event="part_degraded")
