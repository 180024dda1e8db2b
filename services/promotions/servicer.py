"""The promotions' two gRPC services: public and internal.

What each method does, and its errors, is documented in its proto.
"""

import grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2 as internal_pb2
from mamie_rosa.promotions.internal.v1 import promotions_pb2_grpc as internal_pb2_grpc
from mamie_rosa.promotions.v1 import promotions_pb2, promotions_pb2_grpc
from typing_extensions import override

from services.common.clock import Clock, utc_now
from services.common.money import format_amount, parse_amount
from services.common.rpc import authorization, rest_hints
from services.common.rpc.paging import read_page
from services.common.rpc.timestamps import parse_timestamp, to_timestamp
from services.promotions import domain
from services.promotions.repository import PromotionsRepository

DEFAULT_LIMIT = 20
MAX_ACTIVE_PROMOTIONS = 100
"""How many promotions ListActivePromotions answers at most."""


class PromotionsServicer(promotions_pb2_grpc.PromotionsServiceServicer):
    """The public service: promotions and the validation of codes."""

    def __init__(self, *, repository: PromotionsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    @override
    def ValidatePromotion(
        self, request: promotions_pb2.ValidatePromotionRequest, context: grpc.ServicerContext
    ) -> promotions_pb2.ValidatePromotionResponse:
        user_id = request.user_id or authorization.require_user().user_id
        authorization.require_self_or_admin(user_id)
        usage = self._repository.find(domain.normalize(request.promo_code), user_id)
        total = parse_amount(request.cart_total)
        return _render_public_result(domain.validate_total(usage, total, self._clock()))

    @override
    def GetPromotion(
        self, request: promotions_pb2.GetPromotionRequest, context: grpc.ServicerContext
    ) -> promotions_pb2.Promotion:
        authorization.require_user()
        usage = self._repository.load(domain.normalize(request.code))
        return rest_hints.revalidated(context, _render_usage(usage))

    @override
    def CreatePromotion(
        self, request: promotions_pb2.CreatePromotionRequest, context: grpc.ServicerContext
    ) -> promotions_pb2.Promotion:
        authorization.require_admin()
        promotion = _parse_promotion(request)
        self._repository.add(promotion)
        return rest_hints.created(context, _render_usage(domain.Usage(promotion=promotion)))

    @override
    def ListPromotions(
        self, request: promotions_pb2.ListPromotionsRequest, context: grpc.ServicerContext
    ) -> promotions_pb2.ListPromotionsResponse:
        authorization.require_admin()
        page = request.page or 1
        found, total = self._repository.list_page(page=page, limit=request.limit or DEFAULT_LIMIT)
        response = promotions_pb2.ListPromotionsResponse(
            promotions=map(_render_usage, found), total=total, page=page
        )
        return rest_hints.revalidated(context, response)

    @override
    def EndPromotion(
        self, request: promotions_pb2.EndPromotionRequest, context: grpc.ServicerContext
    ) -> promotions_pb2.Promotion:
        authorization.require_admin()
        return _render_usage(self._repository.end(domain.normalize(request.code), self._clock()))


class InternalPromotionsServicer(internal_pb2_grpc.PromotionsServiceServicer):
    """The internal service: codes, as the other services use them."""

    def __init__(self, *, repository: PromotionsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    @override
    def ValidatePromo(
        self, request: internal_pb2.ValidatePromoRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ValidatePromoResponse:
        code = domain.normalize(request.promo_code)
        usage = self._repository.find(code, request.user_id, request.order_id)
        lines = [_parse_line(line) for line in request.lines]
        return _render_result(domain.validate(usage, lines, self._clock()))

    @override
    def RedeemPromo(
        self, request: internal_pb2.RedeemPromoRequest, context: grpc.ServicerContext
    ) -> internal_pb2.RedeemPromoResponse:
        code = domain.normalize(request.promo_code)
        self._repository.redeem(request.order_id, code, request.user_id, self._clock())
        return internal_pb2.RedeemPromoResponse()

    @override
    def ReleasePromo(
        self, request: internal_pb2.ReleasePromoRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ReleasePromoResponse:
        self._repository.release(request.order_id, domain.normalize(request.promo_code))
        return internal_pb2.ReleasePromoResponse()

    @override
    def ListActivePromotions(
        self, request: internal_pb2.ListActivePromotionsRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ListActivePromotionsResponse:
        active = self._repository.list_active(self._clock(), MAX_ACTIVE_PROMOTIONS)
        return internal_pb2.ListActivePromotionsResponse(promotions=map(_render_active, active))

    @override
    def ListRedemptions(
        self, request: internal_pb2.ListRedemptionsRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ListRedemptionsResponse:
        page, next_page_token = read_page(request, self._repository)
        return internal_pb2.ListRedemptionsResponse(
            redemptions=map(_render_redemption, page), next_page_token=next_page_token
        )


def _parse_promotion(request: promotions_pb2.CreatePromotionRequest) -> domain.Promotion:
    return domain.Promotion(
        code=domain.normalize(request.code),
        discount_percentage=request.discount_percentage,
        valid_from=parse_timestamp(request.valid_from, field="validFrom"),
        valid_until=parse_timestamp(request.valid_until, field="validUntil"),
        max_uses=request.max_uses,
        max_uses_per_user=request.max_uses_per_user,
        min_cart_total=parse_amount(request.min_cart_total or "0"),
        category=request.category,
    )


def _parse_line(line: internal_pb2.CartLine) -> domain.CartLine:
    return domain.CartLine(line.category, parse_amount(line.amount))


def _render_usage(usage: domain.Usage) -> promotions_pb2.Promotion:
    promotion = usage.promotion
    return promotions_pb2.Promotion(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        valid_from=to_timestamp(promotion.valid_from),
        valid_until=to_timestamp(promotion.valid_until),
        usage_count=usage.used,
        max_uses=promotion.max_uses,
        max_uses_per_user=promotion.max_uses_per_user,
        min_cart_total=format_amount(promotion.min_cart_total),
        category=promotion.category,
    )


def _render_public_result(
    result: domain.ValidationResult,
) -> promotions_pb2.ValidatePromotionResponse:
    """Render a validation without amounts when the code does not apply."""
    if result.rejection:
        return promotions_pb2.ValidatePromotionResponse(is_valid=False, reason=result.rejection)
    return promotions_pb2.ValidatePromotionResponse(
        is_valid=True,
        discount_percentage=result.discount_percentage,
        discount_amount=format_amount(result.discount),
        final_total=format_amount(result.final_total),
    )


def _render_result(result: domain.ValidationResult) -> internal_pb2.ValidatePromoResponse:
    return internal_pb2.ValidatePromoResponse(
        is_valid=result.is_valid,
        reason=result.rejection or "",
        discount_percentage=result.discount_percentage,
        discount_amount=format_amount(result.discount),
        final_total=format_amount(result.final_total),
    )


def _render_active(promotion: domain.Promotion) -> internal_pb2.ActivePromotion:
    return internal_pb2.ActivePromotion(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        category=promotion.category,
    )


def _render_redemption(redemption: domain.Redemption) -> internal_pb2.Redemption:
    moment = redemption.redeemed_at
    return internal_pb2.Redemption(
        order_id=redemption.order_id,
        state=internal_pb2.Redemption.State.Value(redemption.state),
        promo_code=redemption.code,
        user_id=redemption.user_id,
        redeem_time=to_timestamp(moment) if moment else None,
    )
