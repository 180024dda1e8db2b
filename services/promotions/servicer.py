"""The promotions' two faces: for clients, and for the other services."""

from datetime import UTC

from mamie_rosa.promotions.internal.v1 import promotions_pb2 as internal_pb2
from mamie_rosa.promotions.internal.v1 import promotions_pb2_grpc as internal_pb2_grpc
from mamie_rosa.promotions.v1 import promotions_pb2, promotions_pb2_grpc

from services.common.clock import Clock, utc_now
from services.common.money import format_amount, parse_amount
from services.common.rpc import authorization, rest_hints
from services.common.rpc.paging import read_page
from services.promotions import domain
from services.promotions.repository import PromotionsRepository

MOST_ACTIVE = 100
"""How many promotions a list of those that run has at most."""


class PromotionsServicer(promotions_pb2_grpc.PromotionsServiceServicer):
    """What clients ask of the promotions."""

    def __init__(self, *, repository: PromotionsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def ValidatePromotion(self, request, context):
        """Tell what a code would take off a cart, for the caller or, to an admin, anybody."""
        user_id = request.user_id or authorization.require_user().user_id
        authorization.require_self_or_admin(user_id)
        usage = self._repository.find(domain.normalize(request.promo_code), user_id)
        total = parse_amount(request.cart_total)
        return _render_verdict(domain.assess_total(usage, total, self._clock()))

    def GetPromotion(self, request, context):
        """Return one promotion."""
        authorization.require_user()
        return _render(self._repository.load(domain.normalize(request.code)))

    def CreatePromotion(self, request, context):
        """Add a promotion."""
        authorization.require_admin()
        promotion = _parse(request)
        self._repository.add(promotion)
        return rest_hints.created(context, _render(domain.Usage(promotion=promotion)))


class InternalPromotionsServicer(internal_pb2_grpc.PromotionsServiceServicer):
    """What the other services ask of the promotions."""

    def __init__(self, *, repository: PromotionsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def ValidatePromo(self, request, context):
        """Tell what a code takes off a cart."""
        usage = self._repository.find(domain.normalize(request.promo_code), request.user_id)
        lines = [
            domain.CartLine(line.category, parse_amount(line.amount)) for line in request.lines
        ]
        verdict = domain.assess(usage, lines, self._clock())
        return internal_pb2.ValidatePromoResponse(
            is_valid=verdict.is_valid,
            reason=verdict.refusal or "",
            discount_percentage=verdict.discount_percentage,
            discount_amount=format_amount(verdict.discount),
            final_total=format_amount(verdict.final_total),
        )

    def RedeemPromo(self, request, context):
        """Count one use of a code for an order."""
        code = domain.normalize(request.promo_code)
        self._repository.redeem(request.order_id, code, request.user_id, self._clock())
        return internal_pb2.RedeemPromoResponse()

    def ReleasePromo(self, request, context):
        """Give back the use of a code by an order."""
        self._repository.release(request.order_id, domain.normalize(request.promo_code))
        return internal_pb2.ReleasePromoResponse()

    def ListActivePromotions(self, request, context):
        """List the promotions that run now, those that take most off first."""
        running = self._repository.running(self._clock(), MOST_ACTIVE)
        return internal_pb2.ListActivePromotionsResponse(
            promotions=[
                internal_pb2.ActivePromotion(
                    code=promotion.code,
                    discount_percentage=promotion.discount_percentage,
                    category=promotion.category,
                )
                for promotion in running
            ]
        )

    def ListRedemptions(self, request, context):
        """List all redemptions by the id of their order."""
        page, following = read_page(request, self._repository.list_from)
        return internal_pb2.ListRedemptionsResponse(
            redemptions=map(_render_redemption, page), next_page_token=following
        )


def _parse(request: promotions_pb2.CreatePromotionRequest) -> domain.Promotion:
    return domain.Promotion(
        code=domain.normalize(request.code),
        discount_percentage=request.discount_percentage,
        valid_from=request.valid_from.ToDatetime(tzinfo=UTC),
        valid_until=request.valid_until.ToDatetime(tzinfo=UTC),
        max_uses=request.max_uses,
        max_uses_per_user=request.max_uses_per_user,
        min_cart_total=parse_amount(request.min_cart_total or "0"),
        category=request.category,
    )


def _render(usage: domain.Usage) -> promotions_pb2.Promotion:
    promotion = usage.promotion
    return promotions_pb2.Promotion(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        valid_from=promotion.valid_from,
        valid_until=promotion.valid_until,
        usage_count=usage.used,
        max_uses=promotion.max_uses,
        max_uses_per_user=promotion.max_uses_per_user,
        min_cart_total=format_amount(promotion.min_cart_total),
        category=promotion.category,
    )


def _render_verdict(verdict: domain.Verdict) -> promotions_pb2.ValidatePromotionResponse:
    if verdict.refusal:
        return promotions_pb2.ValidatePromotionResponse(is_valid=False, reason=verdict.refusal)
    return promotions_pb2.ValidatePromotionResponse(
        is_valid=True,
        discount_percentage=verdict.discount_percentage,
        discount_amount=format_amount(verdict.discount),
        final_total=format_amount(verdict.final_total),
    )


def _render_redemption(redemption: domain.Redemption) -> internal_pb2.Redemption:
    return internal_pb2.Redemption(
        order_id=redemption.order_id,
        state=redemption.state.value,
        promo_code=redemption.code,
        user_id=redemption.user_id,
        redeem_time=redemption.redeemed_at,
    )
