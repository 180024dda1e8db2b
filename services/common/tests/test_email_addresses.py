"""Email addresses: ASCII inside, Unicode for people."""

import pytest

from services.common import email_addresses

ASCII = "marie@xn--exmple-cua.fr"
SPELLINGS = [
    "marie@exämple.fr",
    "marie@EXÄMPLE.FR",
    "marie@exa\u0308mple.fr",
    "marie@exämple\u3002fr",
    "marie@ex\u00adämple.fr",
    "marie@\uff45xämple.fr",
    ASCII,
]
"""Of one address: in upper case, decomposed, with characters that IDNA maps or ignores."""
INVALID = ["marie@\u2603.net", "marie@-ä.fr", "marie@a_ü.fr", "marie@" + 64 * "ü" + ".fr", "ä"]


@pytest.mark.parametrize("email", SPELLINGS)
def test_all_spellings_of_a_domain_become_one(email):
    assert email_addresses.to_ascii(email) == ASCII


@pytest.mark.parametrize("email", ["Marie@Example.org", "marie@xn--0.fr", "", "ä@example.org"])
def test_a_domain_in_ascii_stays_as_it_is(email):
    assert email_addresses.to_ascii(email) == email


@pytest.mark.parametrize("email", INVALID)
def test_a_domain_that_cannot_exist_stays_as_it_is_and_is_invalid(email):
    assert email_addresses.to_ascii(email) == email
    with pytest.raises(ValueError, match="user@domain"):
        email_addresses.parse(email)


def test_a_text_that_is_far_too_long_is_not_mapped():
    email = "marie@" + 100 * "ä." + 100 * "x"
    assert email_addresses.to_ascii(email) == email


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        (ASCII, "marie@exämple.fr"),
        ("marie@xn--0.fr", "marie@xn--0.fr"),
        ("Marie@Example.org", "Marie@Example.org"),
        ("marie@straße.de", "marie@straße.de"),
    ],
)
def test_a_domain_is_shown_in_unicode_if_it_has_that_form(email, shown):
    assert email_addresses.to_unicode(email) == shown


@pytest.mark.parametrize("domain", ["straße.de", "例え.jp", "ӓ.рф"])
def test_what_becomes_ascii_is_shown_as_it_was(domain):
    email = f"marie@{domain}"
    assert email_addresses.to_unicode(email_addresses.to_ascii(email)) == email
