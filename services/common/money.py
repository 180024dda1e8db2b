"""Amounts of money: decimals with two digits, as strings on the wire."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def parse_amount(text: str) -> Decimal:
    """Return the amount that a decimal string tells, with two digits."""
    return round_amount(Decimal(text))


def format_amount(amount: Decimal) -> str:
    """Return an amount as it travels: "12.90"."""
    return f"{round_amount(amount):.2f}"


def round_amount(amount: Decimal) -> Decimal:
    """Return an amount rounded to the cent, halves up as on a receipt."""
    return amount.quantize(CENT, ROUND_HALF_UP)
