"""The languages of the shop."""

from enum import StrEnum


class Language(StrEnum):
    """A language that mails, SMS and pages are written in, as its ISO 639-1 code."""

    FR = "fr"
    EN = "en"


DEFAULT_LANGUAGE = Language.FR
"""The language of a customer who asks for none of these: the shop is French."""
