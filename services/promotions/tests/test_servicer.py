"""The promotions' gRPC services: answers, errors and authorization."""

from datetime import UTC, timedelta
from decimal import Decimal

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mamie_rosa.promotions.internal.v1 import promotions_pb2 as internal_pb2
from mamie_rosa.promotions.v1 import promotions_pb2

from services.common.rpc.testing import ADMIN, ALICE, ALICE_ID, ANONYMOUS, BOB, InMemoryServer
from services.promotions import demo
from services.promotions.servicer import InternalPromotionsServicer, PromotionsServicer
from services.promotions.tests.fakes import NOW, InMemoryPromotionsRepository, build_promotion

ORDER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
PUBLIC = promotions_pb2.DESCRIPTOR.services_by_name["PromotionsService"]
INTERNAL = internal_pb2.DESCRIPTOR.services_by_name["PromotionsService"]


@pytest.fixture
def repository():
    repository = InMemoryPromotionsRepository()
    repository.add(build_promotion("TEN"))
    repository.add(build_promotion("ONCE", max_uses_per_user=1))
    repository.add(build_promotion("LAST", max_uses=1))
    repository.add(build_promotion("TOYS", discount_percentage=20, category="toys"))
    repository.add(build_promotion("EXPIRED", valid_until=NOW))
    repository.add(build_promotion("SOON", valid_from=NOW + timedelta.resolution))
    return repository


@pytest.fixture
def promotions(repository):
    return InMemoryServer(PUBLIC, PromotionsServicer(repository=repository, clock=lambda: NOW))


@pytest.fixture
def internal(repository):
    servicer = InternalPromotionsServicer(repository=repository, clock=lambda: NOW)
    return InMemoryServer(INTERNAL, servicer)


def validate(promotions, code, caller=ALICE, *, total="100", user_id=""):
    request = promotions_pb2.ValidatePromotionRequest(
        promo_code=code, cart_total=total, user_id=user_id
    )
    return promotions.call("ValidatePromotion", request, caller)


def validate_cart(internal, code, *lines, user_id=ALICE_ID, order_id=""):
    cart = [internal_pb2.CartLine(category=category, amount=amount) for category, amount in lines]
    request = internal_pb2.ValidatePromoRequest(
        promo_code=code, user_id=user_id, lines=cart, order_id=order_id
    )
    return internal.call("ValidatePromo", request)


def redeem(internal, code, order_id=ORDER, user_id=ALICE_ID):
    request = internal_pb2.RedeemPromoRequest(order_id=order_id, promo_code=code, user_id=user_id)
    return internal.call("RedeemPromo", request)


def release(internal, code, order_id=ORDER):
    request = internal_pb2.ReleasePromoRequest(order_id=order_id, promo_code=code)
    return internal.call("ReleasePromo", request)


def usage_count(promotions, code):
    request = promotions_pb2.GetPromotionRequest(code=code)
    return promotions.call("GetPromotion", request, ALICE).response.usage_count


def test_a_valid_code_answers_its_discount(promotions):
    answer = validate(promotions, "ten", total="35.75").response
    assert answer == promotions_pb2.ValidatePromotionResponse(
        is_valid=True, discount_percentage=10, discount_amount="3.58", final_total="32.17"
    )


def test_a_code_of_one_category_is_validated_as_if_the_whole_cart_were_of_it(promotions):
    assert validate(promotions, "TOYS").response.discount_amount == "20.00"


@pytest.mark.parametrize(
    ("code", "reason"),
    [("NONE", "CODE_UNKNOWN"), ("EXPIRED", "CODE_EXPIRED"), ("SOON", "CODE_NOT_STARTED")],
)
def test_a_code_that_does_not_apply_answers_the_reason_and_no_amount(promotions, code, reason):
    answer = validate(promotions, code)
    expected = promotions_pb2.ValidatePromotionResponse(is_valid=False, reason=reason)
    assert (answer.code, answer.response) == (grpc.StatusCode.OK, expected)


def test_validating_redeems_nothing(promotions):
    for _ in range(2):
        assert validate(promotions, "ONCE").response.is_valid
    assert usage_count(promotions, "ONCE") == 0


def test_a_code_is_validated_for_the_caller_unless_an_administrator_names_a_user(
    promotions, internal
):
    redeem(internal, "ONCE")
    alice = ALICE_ID
    assert validate(promotions, "ONCE", ALICE).response.reason == "CODE_ALREADY_USED"
    assert validate(promotions, "ONCE", BOB).response.is_valid
    assert validate(promotions, "ONCE", ADMIN).response.is_valid
    answer = validate(promotions, "ONCE", ADMIN, user_id=alice).response
    assert answer.reason == "CODE_ALREADY_USED"


@pytest.mark.parametrize(
    ("caller", "reason"), [(BOB, "NOT_YOURS"), (ANONYMOUS, "NOT_SIGNED_IN")], ids=["bob", "nobody"]
)
def test_a_code_is_not_validated_for_another_user(promotions, caller, reason):
    assert validate(promotions, "TEN", caller, user_id=ALICE_ID).reason == reason


@pytest.mark.parametrize("total", ["", "-1", "1.234", "1e3", "x", "123456789"])
def test_an_invalid_total_is_rejected(promotions, total):
    answer = validate(promotions, "TEN", total=total)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ValidatePromotion", {"promo_code": "TEN", "cart_total": "1"}),
        ("GetPromotion", {"code": "TEN"}),
    ],
)
def test_codes_require_a_signed_in_user(promotions, method, request_):
    kind = getattr(promotions_pb2, f"{method}Request")
    assert promotions.call(method, kind(**request_), ANONYMOUS).reason == "NOT_SIGNED_IN"


def test_a_promotion_is_found_by_its_code_case_insensitively(promotions):
    request = promotions_pb2.GetPromotionRequest(code="toYs")
    answer = promotions.call("GetPromotion", request, ALICE).response
    assert (answer.code, answer.discount_percentage, answer.category) == ("TOYS", 20, "toys")
    assert answer.min_cart_total == "0.00"
    assert answer.valid_until.ToDatetime(tzinfo=UTC) == NOW + timedelta(days=1)


def test_an_unknown_promotion_is_not_found(promotions):
    answer = promotions.call("GetPromotion", promotions_pb2.GetPromotionRequest(code="no"), ALICE)
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "PROMOTION_NOT_FOUND")


def new(code="spring15", **changes):
    fields = {
        "code": code,
        "discount_percentage": 15,
        "valid_from": NOW,
        "valid_until": NOW + timedelta(days=30),
        "max_uses": 100,
        "max_uses_per_user": 1,
        "min_cart_total": "20",
        "category": "toys",
    }
    return promotions_pb2.CreatePromotionRequest(**fields | changes)


def test_a_new_promotion_is_created_and_can_be_read(promotions, repository):
    answer = promotions.call("CreatePromotion", new(), ADMIN)
    assert (answer.http, answer.response.code) == (201, "SPRING15")
    read = promotions.call("GetPromotion", promotions_pb2.GetPromotionRequest(code="spring15"), BOB)
    assert read.response == answer.response
    assert repository.load("SPRING15").promotion == build_promotion(
        "SPRING15",
        discount_percentage=15,
        valid_from=NOW,
        valid_until=NOW + timedelta(days=30),
        max_uses=100,
        max_uses_per_user=1,
        min_cart_total=Decimal("20.00"),
        category="toys",
    )


def test_limits_are_optional(promotions):
    none = {"max_uses": 0, "max_uses_per_user": 0, "min_cart_total": "", "category": ""}
    request = new("FREE", discount_percentage=100, **none)
    answer = promotions.call("CreatePromotion", request, ADMIN).response
    assert (answer.max_uses, answer.max_uses_per_user, answer.min_cart_total) == (0, 0, "0.00")


def test_a_code_is_unique_case_insensitively(promotions):
    promotions.call("CreatePromotion", new("Spring15"), ADMIN)
    answer = promotions.call("CreatePromotion", new("sPRING15"), ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PROMOTION_EXISTS")


@pytest.mark.parametrize(
    ("caller", "code"),
    [(ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED), (ALICE, grpc.StatusCode.PERMISSION_DENIED)],
    ids=["nobody", "alice"],
)
def test_only_administrators_create_promotions(promotions, repository, caller, code):
    assert promotions.call("CreatePromotion", new(), caller).code == code
    assert repository.find("SPRING15") is None


@pytest.mark.parametrize(
    "invalid",
    [
        {"code": "a b"},
        {"code": "AB"},
        {"discount_percentage": 0},
        {"discount_percentage": 101},
        {"valid_until": NOW},
        {"valid_from": None},
        {"max_uses": -1},
        {"min_cart_total": "-5"},
    ],
)
def test_a_promotion_with_invalid_fields_is_rejected(promotions, repository, invalid):
    answer = promotions.call("CreatePromotion", new(**invalid), ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert repository.find("SPRING15") is None


@pytest.mark.parametrize(
    "moments",
    [
        {"valid_until": Timestamp(seconds=10**15)},
        {"valid_until": Timestamp(seconds=2**63 - 1)},
        {"valid_from": Timestamp(seconds=-(10**15))},
        {"valid_from": Timestamp(nanos=-1)},
    ],
)
def test_a_promotion_whose_moments_are_out_of_range_is_rejected(promotions, moments):
    answer = promotions.call("CreatePromotion", new(**moments), ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TIMESTAMP")


def test_a_cart_is_validated_line_by_line(internal):
    answer = validate_cart(internal, "toys", ("dog-food", "25.80"), ("toys", "9.95")).response
    assert answer == internal_pb2.ValidatePromoResponse(
        is_valid=True, discount_percentage=20, discount_amount="1.99", final_total="33.76"
    )


def test_a_cart_without_the_codes_category_answers_the_reason(internal):
    answer = validate_cart(internal, "TOYS", ("dog-food", "25.80")).response
    assert answer == internal_pb2.ValidatePromoResponse(
        is_valid=False,
        reason="CATEGORY_NOT_IN_CART",
        discount_amount="0.00",
        final_total="25.80",
    )


@pytest.mark.parametrize(
    ("code", "reason"), [("ONCE", "CODE_ALREADY_USED"), ("LAST", "CODE_EXHAUSTED")]
)
def test_a_code_applies_to_the_order_that_redeemed_it_and_to_no_other(internal, code, reason):
    cart = [("toys", "10.00")]
    redeem(internal, code)
    own = validate_cart(internal, code, *cart, order_id=ORDER.upper()).response
    assert (own.is_valid, own.discount_amount) == (True, "1.00")
    for order_id in (OTHER, ""):
        answer = validate_cart(internal, code, *cart, order_id=order_id).response
        assert (answer.is_valid, answer.reason) == (False, reason)


def test_a_released_code_applies_to_its_order_only_by_the_rules(internal):
    redeem(internal, "LAST")
    release(internal, "LAST")
    redeem(internal, "LAST", OTHER)
    answer = validate_cart(internal, "LAST", ("toys", "10.00"), order_id=ORDER).response
    assert answer.reason == "CODE_EXHAUSTED"


def test_the_cart_of_an_order_that_redeemed_the_code_is_still_judged(internal):
    redeem(internal, "TOYS")
    answer = validate_cart(internal, "TOYS", ("dog-food", "10.00"), order_id=ORDER).response
    assert answer.reason == "CATEGORY_NOT_IN_CART"


@pytest.mark.parametrize("typed", ["ten ", "\u00a0TEN\t", "\nten"])
def test_blanks_around_a_code_do_not_matter(promotions, internal, typed):
    assert validate(promotions, typed).response.is_valid
    assert validate_cart(internal, typed, ("toys", "10.00")).response.is_valid
    request = promotions_pb2.GetPromotionRequest(code=typed)
    assert promotions.call("GetPromotion", request, ALICE).response.code == "TEN"
    assert redeem(internal, typed).code == grpc.StatusCode.OK
    assert release(internal, typed).code == grpc.StatusCode.OK


@pytest.mark.parametrize("typed", ["ß" * 40, "ΐ" * 40, "e\u0301" * 20])
def test_a_code_that_cannot_exist_is_unknown_also_when_upper_case_is_longer(
    promotions, internal, typed
):
    assert validate(promotions, typed).response.reason == "CODE_UNKNOWN"
    for code in (typed, typed.upper()):
        answer = validate_cart(internal, code, ("toys", "10.00")).response
        assert answer.reason == "CODE_UNKNOWN"
        assert redeem(internal, code).reason == "CODE_UNKNOWN"


def test_a_code_is_validated_for_the_largest_line_that_an_order_may_have(internal):
    answer = validate_cart(internal, "TEN", ("toys", "999999990.00")).response
    assert answer.discount_amount == "99999999.00"


def test_repeated_redemptions_of_one_order_count_once(promotions, internal):
    for code in ("ten", "TEN", "Ten"):
        assert redeem(internal, code).code == grpc.StatusCode.OK
    assert usage_count(promotions, "TEN") == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("NONE", "CODE_UNKNOWN"),
        ("SOON", "CODE_NOT_STARTED"),
        ("EXPIRED", "CODE_EXPIRED"),
        ("LAST", "CODE_EXHAUSTED"),
        ("ONCE", "CODE_ALREADY_USED"),
    ],
)
def test_a_code_that_does_not_apply_is_not_redeemed(internal, code, reason):
    redeem(internal, "LAST", OTHER)
    redeem(internal, "ONCE", "33333333-3333-4333-8333-333333333333")
    answer = redeem(internal, code)
    assert (answer.code, answer.http) == (grpc.StatusCode.FAILED_PRECONDITION, 422)
    assert (answer.reason, answer.facts) == (reason, {"code": code})


def test_a_released_redemption_does_not_count(promotions, internal):
    redeem(internal, "LAST")
    for _ in range(2):
        assert release(internal, "last").code == grpc.StatusCode.OK
    assert usage_count(promotions, "LAST") == 0
    assert redeem(internal, "LAST", OTHER).code == grpc.StatusCode.OK


@pytest.mark.parametrize("redeemed_before", [True, False])
def test_a_released_redemption_is_not_redeemed_again(promotions, internal, redeemed_before):
    if redeemed_before:
        redeem(internal, "TEN")
    release(internal, "TEN")
    answer = redeem(internal, "TEN")
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REDEMPTION_RELEASED",
    )
    assert usage_count(promotions, "TEN") == 0


def test_an_order_redeems_one_code(promotions, internal):
    redeem(internal, "TEN")
    for answer in (redeem(internal, "TOYS"), release(internal, "TOYS")):
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "REDEMPTION_MISMATCH",
        )
    assert (usage_count(promotions, "TEN"), usage_count(promotions, "TOYS")) == (1, 0)


def test_an_order_id_that_is_not_a_uuid_is_rejected(internal):
    assert redeem(internal, "TEN", "order-1").reason == "INVALID_FIELDS"


def test_active_promotions_are_listed_largest_discount_first(internal):
    redeem(internal, "LAST")
    request = internal_pb2.ListActivePromotionsRequest()
    answer = internal.call("ListActivePromotions", request).response
    assert [promo.code for promo in answer.promotions] == ["TOYS", "ONCE", "TEN"]
    assert (answer.promotions[0].discount_percentage, answer.promotions[0].category) == (20, "toys")


def test_at_most_a_hundred_active_promotions_are_listed(internal, repository):
    for number in range(101):
        repository.add(build_promotion(f"MORE{number}", discount_percentage=30))
    request = internal_pb2.ListActivePromotionsRequest()
    answer = internal.call("ListActivePromotions", request).response
    assert {promo.discount_percentage for promo in answer.promotions} == {30}
    assert len(answer.promotions) == 100


@pytest.mark.parametrize(
    ("code", "reason"),
    [("WELCOME10", ""), ("EXPIRED20", "CODE_EXPIRED"), ("SOLDOUT5", "CODE_EXHAUSTED")],
)
def test_the_demo_codes_are_one_valid_one_expired_and_one_used_up(
    promotions, repository, code, reason
):
    demo.seed(repository)
    answer = validate(promotions, code).response
    assert (answer.is_valid, answer.reason) == (not reason, reason)


def list_redemptions(internal, **fields):
    return internal.call("ListRedemptions", internal_pb2.ListRedemptionsRequest(**fields))


def test_redemptions_are_listed_in_pages_linked_by_tokens(internal):
    redeem(internal, "TEN", ORDER)
    release(internal, "ONCE", OTHER)
    first = list_redemptions(internal, page_size=1).response
    last = list_redemptions(internal, page_token=first.next_page_token).response
    redeemed, released = first.redemptions[0], last.redemptions[0]
    assert (redeemed.order_id, redeemed.promo_code) == (ORDER, "TEN")
    assert redeemed.state == internal_pb2.Redemption.REDEEMED
    assert redeemed.user_id == ALICE_ID
    assert redeemed.redeem_time.ToDatetime(tzinfo=UTC) == NOW
    assert (released.order_id, released.state) == (OTHER, internal_pb2.Redemption.RELEASED)
    assert (released.user_id, released.HasField("redeem_time")) == ("", False)
    assert last.next_page_token == ""


@pytest.mark.parametrize("field", [{"page_size": 501}, {"page_size": -1}, {"page_token": "x"}])
def test_a_redemptions_request_with_invalid_fields_is_rejected(internal, field):
    assert list_redemptions(internal, **field).reason == "INVALID_FIELDS"


def test_an_administrator_lists_and_ends_promotions(promotions):
    request = promotions_pb2.ListPromotionsRequest(page=1, limit=2)
    answer = promotions.call("ListPromotions", request, ADMIN).response
    assert (len(answer.promotions), answer.total, answer.page) == (2, 6, 1)
    end = promotions_pb2.EndPromotionRequest(code=" ten ")
    ended = promotions.call("EndPromotion", end, ADMIN).response
    assert (ended.code, ended.valid_until.ToDatetime(UTC)) == ("TEN", NOW)
    assert validate(promotions, "TEN").response.reason == "CODE_EXPIRED"
    unknown = promotions_pb2.EndPromotionRequest(code="NONE")
    assert promotions.call("EndPromotion", unknown, ADMIN).reason == "PROMOTION_NOT_FOUND"


@pytest.mark.parametrize(
    ("caller", "reason"), [(ALICE, "ADMIN_ONLY"), (ANONYMOUS, "NOT_SIGNED_IN")]
)
def test_nobody_else_lists_or_ends_promotions(promotions, caller, reason):
    for method, request in (
        ("ListPromotions", promotions_pb2.ListPromotionsRequest()),
        ("EndPromotion", promotions_pb2.EndPromotionRequest(code="TEN")),
    ):
        assert promotions.call(method, request, caller).reason == reason
    assert validate(promotions, "TEN").response.is_valid
