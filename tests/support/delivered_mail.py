"""Mails that the stack's mail server received."""

import email
import email.policy
from email.message import EmailMessage

from tests.support.running_stack import RunningStack


def mails_to(stack: RunningStack, address: str) -> list[EmailMessage]:
    """Return the mails to an address."""
    return [
        email.message_from_bytes(mail, policy=email.policy.default)
        for mail in stack.mails_to(address)
    ]


def text_of(mail: EmailMessage) -> str:
    """Return the plain text of a mail, with usual spaces."""
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content()).replace("\N{NO-BREAK SPACE}", " ")
