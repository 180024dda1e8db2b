"""Mails as a real SMTP server receives them, and its rejections."""

import socket
from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.policy import default
from email.utils import parseaddr

import pytest

from services.common.languages import Language
from services.notifications.domain import Content, NotSentError, Recipient
from services.notifications.mail import (
    SmtpMailer,
    SmtpServer,
    build_mail,
    parse_sender,
    parse_smtp_url,
)
from services.notifications.tests.fakes import NOW
from services.notifications.tests.sink import Sink

CONTENT = Content(
    language=Language.FR, subject="Été\xa0!", text="Ça va\xa0?\n", html="<p>Ça va&nbsp;?</p>"
)
SENDER = parse_sender("Mamie Rosa <bonjour@mamie-rosa.example>")
MARIE = Recipient(
    email="marie@example.org", language=Language.FR, first_name="Marie\r\nBcc: x", last_name="Petît"
)


def build(recipient=MARIE, content=CONTENT):
    return build_mail(content, key="id-1", sender=SENDER, recipient=recipient, now=NOW)


def read(mail):
    """Parse the bytes of a mail as a receiver does."""
    parsed = message_from_bytes(mail.content, policy=default)
    assert [defect for part in parsed.walk() for defect in part.defects] == []
    return parsed


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


@pytest.fixture
def mailer(sink):
    mailer = SmtpMailer(server=parse_smtp_url(sink.url), timeout_seconds=2)
    yield mailer
    mailer.close()


def test_a_mail_has_text_and_html_and_an_id_that_follows_from_its_key():
    mail = read(build())
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Message-ID"] == "<id-1@mamie-rosa.example>"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_name_cannot_add_headers():
    mail = read(build())
    assert "Bcc" not in mail
    assert mail["To"].addresses == (Address("Marie Bcc: x Petît", addr_spec=MARIE.email),)


def test_a_mail_to_an_internationalised_domain_goes_to_its_ascii_form(sink, mailer):
    mailer.send(build(replace(MARIE, email="marie@EXÄMPLE.fr")))
    (mail,) = sink.mails
    assert mail["To"].addresses[0].addr_spec == "marie@xn--exmple-cua.fr"
    assert sink.recipients == [["marie@xn--exmple-cua.fr"]]


@pytest.mark.parametrize(
    "email", ["", "marie", "a@b@c", "marié@example.org", "marie@example.org\nBcc: x@y.z"]
)
def test_an_invalid_address_is_rejected(email):
    with pytest.raises(NotSentError, match="ADDRESS_INVALID"):
        build(Recipient(email=email, language=Language.FR))


def test_a_mail_arrives_as_it_was_written(sink, mailer):
    mailer.send(build())
    (mail,) = sink.mails
    assert mail["Subject"] == "Été\xa0!"
    assert mail.get_body(["plain"]).get_content().strip() == "Ça va\xa0?"
    assert "Ça va&nbsp;?" in mail.get_body(["html"]).get_content()


NAMES = ["Marie", 'Jean-Luc, dit "Jo" \\o/', "Zoé", "é" * 100, "x" * 100, "=?utf-8?q?a?=", "a.b"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_arrives(name):
    recipient = Recipient(email="m@example.org", language=Language.FR, first_name=name)
    mail = build(recipient)
    assert read(mail)["To"].addresses[0].addr_spec == "m@example.org"
    # The parser of addresses puts a blank between two encoded words.
    folded = message_from_bytes(mail.content)["To"]
    shown, _ = parseaddr(str(make_header(decode_header(folded))))
    assert shown == name


@pytest.mark.parametrize(
    "subject", ["plain", "Été à 23,22\xa0€", "word " * 40 + "end", "é" * 200, "=?utf-8?q?raw?="]
)
def test_every_subject_arrives_in_short_lines(subject):
    mail = build(content=replace(CONTENT, subject=subject))
    assert read(mail)["Subject"] == subject
    assert max(map(len, mail.content.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "text",
    ["", "a\n", ".\n..\n", "x" * 2_000, "--=_id-1\n--=_id-1--\n", "trailing \t\nend=\n", "€" * 99],
)
def test_every_text_arrives(sink, mailer, text):
    mailer.send(build(content=replace(CONTENT, text=text, html=text)))
    (mail,) = sink.mails
    for kind in ("plain", "html"):
        found = mail.get_body([kind]).get_content().replace("\r\n", "\n")
        assert found.rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize("email", ["a.b+c@example.org", '"a b"@example.org', "o'hara@example.org"])
def test_a_mail_goes_to_every_valid_address(sink, mailer, email):
    mailer.send(build(Recipient(email=email, language=Language.FR)))
    assert [address.addr_spec for address in sink.mails[0]["To"].addresses] == [email]


def test_mails_share_a_connection_until_it_is_closed(sink, mailer):
    for _ in range(3):
        mailer.send(build())
    assert (len(sink.mails), sink.sessions) == (3, 1)
    mailer.close()
    mailer.send(build())
    assert sink.sessions == 2


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("code", [451, 550])
def test_a_rejection_keeps_its_reply_code_and_the_next_mail_is_sent(sink, mailer, step, code):
    sink.rejections[step] = f"{code} marie@example.org is not welcome"
    with pytest.raises(NotSentError) as caught:
        mailer.send(build())
    assert caught.value.cause == f"SMTP_{code}"
    sink.rejections.clear()
    mailer.send(build())
    assert len(sink.mails) == 1


def test_a_closed_connection_fails_once_and_is_opened_again(sink, mailer):
    mailer.send(build())
    sink.close_connections()
    with pytest.raises(NotSentError, match="SMTP_UNREACHABLE"):
        mailer.send(build())
    mailer.send(build())
    assert len(sink.mails) == 2


def test_a_server_that_is_down_or_silent_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mailer = SmtpMailer(server=SmtpServer(host="127.0.0.1", port=port), timeout_seconds=0.1)
        with pytest.raises(NotSentError, match="SMTP_UNREACHABLE"):
            mailer.send(build())
    with pytest.raises(NotSentError, match="SMTP_UNREACHABLE"):
        mailer.send(build())


def test_nothing_is_sent_without_the_required_encryption(sink):
    mailer = SmtpMailer(server=parse_smtp_url(f"{sink.url}?starttls=true"), timeout_seconds=2)
    with pytest.raises(NotSentError, match="SMTP_FAILED"):
        mailer.send(build())
    assert sink.mails == []


def test_nothing_is_sent_when_authentication_fails(sink):
    url = sink.url.replace("//", "//marie:secret@")
    mailer = SmtpMailer(server=parse_smtp_url(url), timeout_seconds=2)
    with pytest.raises(NotSentError, match="SMTP_"):
        mailer.send(build())
    assert sink.mails == []


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example:2525", {"host": "mail.example", "port": 2525}),
        ("smtps://mail.example", {"host": "mail.example", "port": 465, "tls": True}),
        (
            "smtp://rosa:p%40ss@mail.example?starttls=true",
            {"host": "mail.example", "port": 25, "user": "rosa", "password": "p@ss"}
            | {"starttls": True},
        ),
    ],
)
def test_a_url_is_parsed(url, server):
    assert parse_smtp_url(url) == SmtpServer(**server)


@pytest.mark.parametrize(
    "url", ["mail.example:25", "http://mail.example", "smtp://", "smtp://h?tls=1", "smtp://h:x"]
)
def test_an_invalid_url_is_rejected(url):
    with pytest.raises(ValueError, match=r"."):
        parse_smtp_url(url)
