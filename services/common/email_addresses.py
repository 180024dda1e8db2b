"""Email addresses with an internationalised domain (IDNA 2008, mapped as UTS 46 says).

They are stored, compared, published and mailed to in ASCII (marie@xn--exmple-cua.fr), and shown
in Unicode (marie@exämple.fr). The part before the @ is never mapped: only its own mail server
knows what is the same mailbox.
"""

import idna

MAX_LENGTH = 255
"""Longer ones are left as they are: no mail goes there, and mapping takes time."""
ASCII_PREFIX = "xn--"


def to_ascii(email: str) -> str:
    """Return an address with its domain in ASCII; one with no valid domain as it is."""
    name, at, domain = email.rpartition("@")
    if not at or domain.isascii() or len(email) > MAX_LENGTH:
        return email
    try:
        return name + at + idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return email


def to_unicode(email: str) -> str:
    """Return an address with its domain in Unicode, as people write it."""
    name, at, domain = email.rpartition("@")
    if ASCII_PREFIX not in domain.lower():
        return email
    try:
        return name + at + idna.decode(domain)
    except idna.IDNAError:
        return email


def parse(text: str) -> str:
    """Return an address in ASCII; ValueError when it is none, or has other characters."""
    email = to_ascii(text)
    if "@" not in email or not email.isascii():
        raise ValueError("must be user@domain, with ASCII characters alone before the @")
    return email
