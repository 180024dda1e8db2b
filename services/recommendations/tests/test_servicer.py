"""The recommendations service: its answers, authorisation and errors."""

import grpc
import pytest
from mamie_rosa.recommendations.v1 import recommendations_pb2

from services.common.rpc.testing import ADMIN, ALICE, ALICE_ID, ANONYMOUS, BOB, InMemoryServer
from services.common.tests.fake_dead_letters import FakeDeadLetterQueue
from services.recommendations.domain import CustomerChanged
from services.recommendations.servicer import RecommendationsServicer
from services.recommendations.tests.fakes import (
    NOW,
    InMemoryRecommendationsRepository,
    build_product,
)

SERVICE = recommendations_pb2.DESCRIPTOR.services_by_name["RecommendationsService"]


@pytest.fixture
def repository():
    repository = InMemoryRecommendationsRepository()
    repository.upsert_products([build_product(f"p{number:02}") for number in range(60)], NOW)
    return repository


@pytest.fixture
def recommendations(repository):
    servicer = RecommendationsServicer(
        repository=repository, dead_letters=FakeDeadLetterQueue(), clock=lambda: NOW
    )
    return InMemoryServer(SERVICE, servicer)


def get(recommendations, who=ALICE, user_id=ALICE_ID, limit=0):
    request = recommendations_pb2.GetRecommendationsRequest(id=user_id, limit=limit)
    return recommendations.call("GetRecommendations", request, who)


def train(recommendations, *names, who=ADMIN, user_id=ALICE_ID):
    request = recommendations_pb2.TrainRecommendationsRequest(
        user_id=user_id, purchased_items=names
    )
    return recommendations.call("TrainRecommendations", request, who)


def names(answer):
    return [each.product_id for each in answer.response.recommendations]


def test_an_empty_graph_answers_an_empty_list(recommendations):
    answer = get(recommendations)
    assert (answer.code, names(answer)) == (grpc.StatusCode.OK, [])


def test_a_customer_gets_co_purchases(recommendations):
    train(recommendations, "sku-p01", user_id=ALICE_ID)
    for user_id in ("bob", "carol"):
        train(recommendations, "sku-p01", "sku-p02", user_id=user_id)
    (answer,) = get(recommendations).response.recommendations
    assert (answer.product_id, answer.title) == ("id-p02", "P02")
    assert answer.reason == "Bought by customers who also chose P01."
    assert 0.5 < answer.score <= 0.9


def test_a_customer_without_purchases_gets_what_is_popular_with_their_animal(
    recommendations, repository
):
    for number, user_id in enumerate((ALICE_ID, "bob")):
        repository.apply(
            str(number), CustomerChanged(user_id=user_id, animal_type="cat", as_of=NOW)
        )
    train(recommendations, "sku-p03", user_id="bob")
    train(recommendations, "sku-p04", user_id="carol")
    answer = get(recommendations).response.recommendations
    assert [(each.product_id, each.reason) for each in answer] == [
        ("id-p03", "Popular with cat owners."),
        ("id-p04", "Popular with all our customers."),
    ]


def test_an_unknown_customer_gets_popular_products(recommendations):
    train(recommendations, "sku-p05", user_id="bob")
    assert names(get(recommendations)) == ["id-p05"]


@pytest.mark.parametrize(("limit", "count"), [(0, 5), (1, 1), (50, 50)])
def test_at_most_limit_products_are_answered_by_default_five(recommendations, limit, count):
    train(recommendations, *(f"id-p{number:02}" for number in range(60)), user_id="bob")
    assert len(names(get(recommendations, limit=limit))) == count


@pytest.mark.parametrize("limit", [-1, 51])
def test_a_limit_out_of_range_is_rejected(recommendations, limit):
    answer = get(recommendations, limit=limit)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


def test_an_administrator_sees_the_recommendations_of_any_customer(recommendations):
    assert get(recommendations, ADMIN).code == grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("who", "reason"),
    [(BOB, "NOT_YOURS"), (ANONYMOUS, "NOT_SIGNED_IN")],
    ids=["another-customer", "anonymous"],
)
def test_another_caller_is_rejected(recommendations, who, reason):
    assert get(recommendations, who).reason == reason


def test_training_counts_new_purchases(recommendations):
    assert train(recommendations, "sku-p01", "id-p02", "ID-P02").response.updated == 2
    assert train(recommendations, "sku-p02", "sku-p03").response.updated == 1
    assert train(recommendations, "sku-p02", "sku-p03").response.updated == 0


def test_training_with_unknown_products_is_rejected(recommendations):
    answer = train(recommendations, "sku-p01", "nothing", "no-such")
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PRODUCT_NOT_FOUND")
    assert answer.facts == {"products": "no-such, nothing"}
    assert names(get(recommendations, who=ADMIN, user_id="bob")) == []


@pytest.mark.parametrize(
    ("who", "code"),
    [(ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED), (ALICE, grpc.StatusCode.PERMISSION_DENIED)],
    ids=["anonymous", "customer"],
)
def test_only_administrators_train(recommendations, who, code):
    assert train(recommendations, "sku-p01", who=who).code == code
    assert names(get(recommendations, who=ADMIN, user_id="bob")) == []


@pytest.mark.parametrize("items", [[], ["x"] * 101, [""], ["x" * 65]])
def test_training_with_invalid_items_is_rejected(recommendations, items):
    assert train(recommendations, *items).reason == "INVALID_FIELDS"


def test_an_administrator_lists_and_redrives_dead_letters(recommendations):
    def call(method, **fields):
        request = getattr(recommendations_pb2, f"{method}RecommendationsDeadLettersRequest")(
            **fields
        )
        return recommendations.call(f"{method}RecommendationsDeadLetters", request, ADMIN).response

    answer = call("List", limit=1)
    assert ([each.event_id for each in answer.dead_letters], answer.total) == (["1"], 2)
    assert call("Redrive").moved_count == 2
    assert call("List").total == 0


@pytest.mark.parametrize(("who", "reason"), [(ALICE, "ADMIN_ONLY"), (ANONYMOUS, "NOT_SIGNED_IN")])
def test_nobody_else_lists_or_redrives_dead_letters(recommendations, who, reason):
    for method in ("ListRecommendationsDeadLetters", "RedriveRecommendationsDeadLetters"):
        request = getattr(recommendations_pb2, f"{method}Request")()
        assert recommendations.call(method, request, who).reason == reason
