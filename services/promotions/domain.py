"""What the promotions know: codes, when they apply, and what they take off a cart.

A code is judged in this order, and the first thing that is wrong is the answer: it exists,
it has started, it has not ended, it is not used up, this client may use it once more, the
cart is large enough, the cart has something of its category.

An order uses a code at most once, and gives it back at most once:

    (nothing) --redeem--> REDEEMED --release--> RELEASED
        \\---------------release----------------^
         (a redemption that arrives late is then refused)
"""

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


class Refusal(StrEnum):
    """Why a code does not apply, in the order in which it is judged."""

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


class CodeRefusedError(UnprocessableError):
    """A code cannot be redeemed; each subclass is one reason."""

    explanation = "does not apply"

    def __init__(self, code: str) -> None:
        super().__init__(f"The code {code} {self.explanation}.", code=code)


class CodeUnknownError(CodeRefusedError):
    """Nobody made such a code."""

    reason = Refusal.CODE_UNKNOWN
    explanation = "does not exist"


class CodeNotStartedError(CodeRefusedError):
    """The code is for later."""

    reason = Refusal.CODE_NOT_STARTED
    explanation = "is not valid yet"


class CodeExpiredError(CodeRefusedError):
    """The code's time is over."""

    reason = Refusal.CODE_EXPIRED
    explanation = "is not valid any more"


class CodeExhaustedError(CodeRefusedError):
    """As many orders as may use the code have used it."""

    reason = Refusal.CODE_EXHAUSTED
    explanation = "is used up"


class CodeAlreadyUsedError(CodeRefusedError):
    """The client has used the code as often as one client may."""

    reason = Refusal.CODE_ALREADY_USED
    explanation = "was used by this client already"


REFUSED: Mapping[str, type[CodeRefusedError]] = {
    error.reason: error
    for error in (
        CodeUnknownError,
        CodeNotStartedError,
        CodeExpiredError,
        CodeExhaustedError,
        CodeAlreadyUsedError,
    )
}
"""The error of each refusal that a redemption may end with: all that need no cart."""


class RedemptionReleasedError(FailedPreconditionError):
    """The order gave the code back, for good."""

    reason = "REDEMPTION_RELEASED"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} gave its code back.", orderId=order_id)


class RedemptionMismatchError(FailedPreconditionError):
    """The order used another code, or is somebody else's."""

    reason = "REDEMPTION_MISMATCH"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} used another code.", orderId=order_id)


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A code and its rules.

    `code` is upper case; it takes `discount_percentage` (1 to 100) off what is of
    `category`, or off everything when that is empty, from `valid_from` until just before
    `valid_until`. The limits count orders, in all and of one client; 0 means any number.
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
    """A promotion, and how many orders used it: in all, and those of the client in question."""

    promotion: Promotion
    used: int = 0
    used_by_user: int = 0


class RedemptionState(StrEnum):
    """Where a redemption stands; see the module's picture."""

    REDEEMED = "REDEEMED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, kw_only=True)
class Redemption:
    """What one order did with a code; no client and no time when it never used one."""

    order_id: str
    state: RedemptionState
    code: str
    user_id: str = ""
    redeemed_at: datetime | None = None


@dataclass(frozen=True)
class CartLine:
    """A part of a cart: what it costs, and the category of what it is."""

    category: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a code takes off a cart, or why it takes nothing; amounts have two digits."""

    final_total: Decimal
    refusal: Refusal | None = None
    discount_percentage: int = 0
    discount: Decimal = Decimal("0.00")

    @property
    def is_valid(self) -> bool:
        """Return whether the code applies."""
        return self.refusal is None


def normalize(code: str) -> str:
    """Return a code as it is kept: upper case."""
    return code.upper()


def assess(usage: Usage | None, lines: Sequence[CartLine], now: datetime) -> Verdict:
    """Judge a code for a cart, in the module's order; None is a code that does not exist."""
    total = _total(lines)
    if usage is None:
        return Verdict(final_total=total, refusal=Refusal.CODE_UNKNOWN)
    promotion = usage.promotion
    if refusal := refuse_use(usage, now) or _refuse_cart(promotion, lines):
        return Verdict(final_total=total, refusal=refusal)
    discount = _discount(promotion, lines)
    return Verdict(
        final_total=total - discount,
        discount_percentage=promotion.discount_percentage,
        discount=discount,
    )


def assess_total(usage: Usage | None, total: Decimal, now: datetime) -> Verdict:
    """Judge a code for a cart of which only the total is known, as if all fitted the code."""
    category = usage.promotion.category if usage else ""
    return assess(usage, [CartLine(category, total)], now)


def refuse_use(usage: Usage, now: datetime) -> Refusal | None:
    """Return why one more order may not use a code, whatever its cart; None when it may."""
    promotion = usage.promotion
    if now < promotion.valid_from:
        return Refusal.CODE_NOT_STARTED
    if now >= promotion.valid_until:
        return Refusal.CODE_EXPIRED
    if _is_reached(promotion.max_uses, usage.used):
        return Refusal.CODE_EXHAUSTED
    if _is_reached(promotion.max_uses_per_user, usage.used_by_user):
        return Refusal.CODE_ALREADY_USED
    return None


def is_running(usage: Usage, now: datetime) -> bool:
    """Return whether a promotion has started, has not ended and is not used up."""
    return refuse_use(usage, now) is None


def _refuse_cart(promotion: Promotion, lines: Sequence[CartLine]) -> Refusal | None:
    """Return why a code is not for this cart; the smallest total is that of the whole cart."""
    if _total(lines) < promotion.min_cart_total:
        return Refusal.CART_TOO_SMALL
    if not any(_is_for(promotion, line) for line in lines):
        return Refusal.CATEGORY_NOT_IN_CART
    return None


def _discount(promotion: Promotion, lines: Iterable[CartLine]) -> Decimal:
    """Return what a code takes off, rounded once for the whole cart, halves up."""
    fitting = _total(line for line in lines if _is_for(promotion, line))
    return round_amount(fitting * promotion.discount_percentage / 100)


def _is_for(promotion: Promotion, line: CartLine) -> bool:
    return promotion.category in ("", line.category)


def _is_reached(limit: int, count: int) -> bool:
    return 0 < limit <= count


def _total(lines: Iterable[CartLine]) -> Decimal:
    return sum((line.amount for line in lines), Decimal("0.00"))
