"""Amounts and dates as they are written in French and in English."""

from datetime import datetime
from functools import lru_cache

from babel.dates import format_date
from babel.numbers import format_currency

from services.common.languages import Language
from services.common.money import parse_amount

LOCALES = {Language.EN: "en_GB", Language.FR: "fr_FR"}
FIRST_OF_MONTH = {Language.FR: "d'er' MMMM y"}
"""Babel's long French date is "1 mars 2026"; people write "1er mars 2026"."""


CACHE_SIZE = 1_000
"""Amounts and days that mails repeat; to format one takes as long as to build the mail."""


@lru_cache(CACHE_SIZE)
def format_money(amount: str, currency: str, language: Language) -> str:
    """Return "1 234,56 €" (with spaces that do not break) or "€1,234.56"."""
    return format_currency(parse_amount(amount), currency, locale=LOCALES[language])


@lru_cache(CACHE_SIZE)
def format_day(moment: str, language: Language) -> str:
    """Return the day of an ISO 8601 time, in UTC: "1er mars 2026" or "1 March 2026"."""
    day = datetime.fromisoformat(moment).date()
    pattern = FIRST_OF_MONTH.get(language, "long") if day.day == 1 else "long"
    return format_date(day, pattern, locale=LOCALES[language])
