"""Language negotiation: which of the shop's languages an Accept-Language header prefers."""

import re

from services.common.languages import DEFAULT_LANGUAGE, Language

LANGUAGE_RANGE = re.compile(
    r"(?:([a-z]{1,8})(?:-[a-z0-9]{1,8})*|\*)"
    r"(?:[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?",
    re.ASCII | re.IGNORECASE,
)
"""One element of Accept-Language (RFC 9110, 12.5.4): a language or "*", and its quality."""


def choose_language(accept_language: str, *, default: Language = DEFAULT_LANGUAGE) -> Language:
    """Choose the language of the shop that an Accept-Language header prefers.

    The highest quality wins, then the first in the header; "fr-CA" is French, "*" any
    language that is not named. Invalid language ranges are ignored. `default` is the answer
    when the header is empty or expresses no preference.
    """
    qualities = _parse_qualities(accept_language)
    unnamed = qualities.get("*", 0.0)
    named = [language for name in qualities for language in Language if language == name]
    candidates = [*named, default, *Language]
    best = max(candidates, key=lambda language: qualities.get(language, unnamed))
    return best if qualities.get(best, unnamed) else default


def _parse_qualities(accept_language: str) -> dict[str, float]:
    """Map each language of the header, in order of appearance, to its highest quality."""
    qualities: dict[str, float] = {}
    for element in accept_language.split(","):
        if match := LANGUAGE_RANGE.fullmatch(element.strip(" \t")):
            name, quality = (match[1] or "*").lower(), float(match[2] or 1)
            qualities[name] = max(quality, qualities.get(name, 0.0))
    return qualities
