"""Amounts of money: decimals with two digits, strings on the wire."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def parse_amount(text: str) -> Decimal:
    """Parse a decimal string; round it to two digits."""
    return round_amount(Decimal(text))


def format_amount(amount: Decimal) -> str:
    """Format an amount for the wire: "12.90"."""
    return f"{round_amount(amount):.2f}"


def round_amount(amount: Decimal) -> Decimal:
    """Round an amount to the cent, halves up as on a receipt."""
    return amount.quantize(CENT, ROUND_HALF_UP)
