"""Amounts and days as people write them, in French and in English."""

from datetime import datetime

from services.common.money import parse_amount
from services.notifications.domain import LANGUAGES

NO_BREAK = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}
MONTHS = (
    ("janvier", "January"),
    ("février", "February"),
    ("mars", "March"),
    ("avril", "April"),
    ("mai", "May"),
    ("juin", "June"),
    ("juillet", "July"),
    ("août", "August"),
    ("septembre", "September"),
    ("octobre", "October"),
    ("novembre", "November"),
    ("décembre", "December"),
)


def format_money(amount: str, currency: str, language: str) -> str:
    """Return "1 234,56 €" (with spaces that do not break) or "€1,234.56"."""
    number = f"{parse_amount(amount):,.2f}"
    if language == "fr":
        number = number.translate({ord(","): THIN, ord("."): ","})
        return f"{number}{NO_BREAK}{SYMBOLS.get(currency, currency)}"
    return f"{SYMBOLS.get(currency, currency + NO_BREAK)}{number}"


def format_day(moment: str, language: str) -> str:
    """Return the day of an ISO 8601 time, in UTC: "1er mars 2026" or "1 March 2026"."""
    day = datetime.fromisoformat(moment)
    number = "1er" if language == "fr" and day.day == 1 else str(day.day)
    month = MONTHS[day.month - 1][LANGUAGES.index(language)]
    return f"{number}{NO_BREAK}{month} {day.year}"
