"""The promotions' domain: codes, their rules, their discounts and their redemptions.

A code is validated in this order, and the first rule it breaks is the reason to reject it: it
exists, it has started, it has not ended, it is not used up, the customer may use it once more,
the cart is large enough, the cart has something of its category. An order that has redeemed the
code has passed all rules but those of the cart: they are not judged again.

An order redeems a code at most once, and releases it at most once:

    (nothing) --redeem--> REDEEMED --release--> RELEASED
        \\---------------release----------------^
         (a redemption that arrives later is rejected)
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnprocessableError,
)
from services.common.money import round_amount


class RejectionReason(StrEnum):
    """Why a code does not apply, in the order of validation."""

    CODE_UNKNOWN = "CODE_UNKNOWN"
    CODE_NOT_STARTED = "CODE_NOT_STARTED"
    CODE_EXPIRED = "CODE_EXPIRED"
    CODE_EXHAUSTED = "CODE_EXHAUSTED"
    CODE_ALREADY_USED = "CODE_ALREADY_USED"
    CART_TOO_SMALL = "CART_TOO_SMALL"
    CATEGORY_NOT_IN_CART = "CATEGORY_NOT_IN_CART"


class PromotionNotFoundError(NotFoundError):
    """There is no such promotion."""

    reason = "PROMOTION_NOT_FOUND"

    def __init__(self, code: str) -> None:
        super().__init__(f"There is no promotion {code}.", code=code)


class PromotionExistsError(AlreadyExistsError):
    """The code belongs to another promotion."""

    reason = "PROMOTION_EXISTS"

    def __init__(self, code: str) -> None:
        super().__init__(f"The code {code} belongs to another promotion.", code=code)


class CodeRejectedError(UnprocessableError):
    """A code cannot be redeemed; each subclass is one reason."""

    explanation = "does not apply"

    def __init__(self, code: str) -> None:
        super().__init__(f"The code {code} {self.explanation}.", code=code)


class CodeUnknownError(CodeRejectedError):
    """The code does not exist."""

    reason = RejectionReason.CODE_UNKNOWN
    explanation = "does not exist"


class CodeNotStartedError(CodeRejectedError):
    """The code is not valid yet."""

    reason = RejectionReason.CODE_NOT_STARTED
    explanation = "is not valid yet"


class CodeExpiredError(CodeRejectedError):
    """The code is no longer valid."""

    reason = RejectionReason.CODE_EXPIRED
    explanation = "is not valid any more"


class CodeExhaustedError(CodeRejectedError):
    """The code has been redeemed as often as all orders together may."""

    reason = RejectionReason.CODE_EXHAUSTED
    explanation = "is used up"


class CodeAlreadyUsedError(CodeRejectedError):
    """The customer has redeemed the code as often as one customer may."""

    reason = RejectionReason.CODE_ALREADY_USED
    explanation = "was used by this customer already"


REJECTION_ERRORS: Mapping[str, type[CodeRejectedError]] = {
    error.reason: error
    for error in (
        CodeUnknownError,
        CodeNotStartedError,
        CodeExpiredError,
        CodeExhaustedError,
        CodeAlreadyUsedError,
    )
}
"""The errors of a rejected redemption, by reason: all reasons that do not need a cart."""


class RedemptionReleasedError(FailedPreconditionError):
    """The order released its code, which is final."""

    reason = "REDEMPTION_RELEASED"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} released its code.", orderId=order_id)


class RedemptionMismatchError(FailedPreconditionError):
    """The order redeemed another code, or belongs to another customer."""

    reason = "REDEMPTION_MISMATCH"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} used another code.", orderId=order_id)


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A code and its rules.

    `code` is upper case; it takes `discount_percentage` (1 to 100) off the lines of
    `category`, or off all lines when that is empty, from `valid_from` until just before
    `valid_until`. The limits count orders: of all customers, and of one; 0 means no limit.
    """

    code: str
    discount_percentage: int
    valid_from: datetime
    valid_until: datetime
    max_uses: int = 0
    max_uses_per_user: int = 0
    min_cart_total: Decimal = Decimal("0.00")
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A promotion and the number of orders that use it: of all customers, and of one.

    `redeemed_by_order` is whether the order that asks is one of them.
    """

    promotion: Promotion
    used: int = 0
    used_by_user: int = 0
    redeemed_by_order: bool = False


class RedemptionState(StrEnum):
    """The states of a redemption; the module's docstring draws the transitions."""

    REDEEMED = "REDEEMED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, kw_only=True)
class Redemption:
    """One order's use of a code; without customer and time when it released it first."""

    order_id: str
    state: RedemptionState
    code: str
    user_id: str = ""
    redeemed_at: datetime | None = None

    def uses(self, code: str, user_id: str) -> bool:
        """Return whether it counts as a use of a code by a customer."""
        is_redeemed = self.state is RedemptionState.REDEEMED
        return is_redeemed and (self.code, self.user_id) == (code, user_id)


@dataclass(frozen=True)
class CartLine:
    """A line of a cart: its category and its total."""

    category: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The discount of a code on a cart, or why there is none; amounts have two decimals."""

    final_total: Decimal
    rejection: RejectionReason | None = None
    discount_percentage: int = 0
    discount: Decimal = Decimal("0.00")

    @property
    def is_valid(self) -> bool:
        """Return whether the code applies."""
        return self.rejection is None


def normalize(code: str) -> str:
    """Normalize a code as people type it: Unicode NFC, no blanks around it, upper case.

    The result may be longer than what was typed ("ß" becomes "SS"). A code that breaks the
    rules of CreatePromotion is a code that does not exist.
    """
    return unicodedata.normalize("NFC", code).strip().upper()


def validate(usage: Usage | None, lines: Sequence[CartLine], now: datetime) -> ValidationResult:
    """Validate a code for a cart, in the module's order; None is a code that does not exist."""
    total = _total(lines)
    if usage is None:
        return ValidationResult(final_total=total, rejection=RejectionReason.CODE_UNKNOWN)
    promotion = usage.promotion
    if rejection := find_rejection(usage, now) or _find_cart_rejection(promotion, lines):
        return ValidationResult(final_total=total, rejection=rejection)
    discount = _discount(promotion, lines)
    return ValidationResult(
        final_total=total - discount,
        discount_percentage=promotion.discount_percentage,
        discount=discount,
    )


def validate_total(usage: Usage | None, total: Decimal, now: datetime) -> ValidationResult:
    """Validate a code for a cart's total, as if all lines were of the code's category."""
    category = usage.promotion.category if usage else ""
    return validate(usage, [CartLine(category, total)], now)


def find_rejection(usage: Usage, now: datetime) -> RejectionReason | None:
    """Return why an order may not redeem a code, whatever its cart; None when it may or has."""
    if usage.redeemed_by_order:
        return None
    promotion = usage.promotion
    if now < promotion.valid_from:
        return RejectionReason.CODE_NOT_STARTED
    if now >= promotion.valid_until:
        return RejectionReason.CODE_EXPIRED
    if _is_reached(promotion.max_uses, usage.used):
        return RejectionReason.CODE_EXHAUSTED
    if _is_reached(promotion.max_uses_per_user, usage.used_by_user):
        return RejectionReason.CODE_ALREADY_USED
    return None


def is_active(usage: Usage, now: datetime) -> bool:
    """Return whether a promotion has begun, has not ended and is not used up."""
    return find_rejection(usage, now) is None


def _find_cart_rejection(promotion: Promotion, lines: Sequence[CartLine]) -> RejectionReason | None:
    """Return why a code does not apply to a cart; the minimum total counts all lines."""
    if _total(lines) < promotion.min_cart_total:
        return RejectionReason.CART_TOO_SMALL
    if not any(_applies_to(promotion, line) for line in lines):
        return RejectionReason.CATEGORY_NOT_IN_CART
    return None


def _discount(promotion: Promotion, lines: Iterable[CartLine]) -> Decimal:
    """Compute the discount on a cart, rounded once for all lines, halves up."""
    discounted = _total(line for line in lines if _applies_to(promotion, line))
    return round_amount(discounted * promotion.discount_percentage / 100)


def _applies_to(promotion: Promotion, line: CartLine) -> bool:
    return promotion.category in ("", line.category)


def _is_reached(limit: int, count: int) -> bool:
    return 0 < limit <= count


def _total(lines: Iterable[CartLine]) -> Decimal:
    return sum((line.amount for line in lines), Decimal("0.00"))
