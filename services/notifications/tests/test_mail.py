"""Mails as a real SMTP server receives them, and its rejections."""

import socket
from dataclasses import replace
from email.headerregistry import Address

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


def build(recipient=MARIE):
    return build_mail(CONTENT, key="id-1", sender=SENDER, recipient=recipient, now=NOW)


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
    mail = build()
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Message-ID"] == "<id-1@mamie-rosa.example>"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_name_cannot_add_headers():
    assert "Bcc" not in build()
    assert build()["To"].addresses == (Address("Marie Bcc: x Petît", addr_spec=MARIE.email),)


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
