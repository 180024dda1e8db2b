"""The list of mails, and single mails, of scripts/mail."""

import mailbox
import os
from email.message import EmailMessage

import pytest

from scripts.operations.mail import main


def add(data, subject, received, *, text="Voilà !", html="<p>Voilà&nbsp;!</p>"):
    """Store a mail where the mail server stores it."""
    mail = EmailMessage()
    mail["To"] = "Zoé <zoe@example.org>"
    mail["Subject"] = subject
    if text:
        mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    box = mailbox.Maildir(data / "mailbox")
    key = box.add(mail.as_bytes())
    os.utime(data / "mailbox" / "new" / key, (received, received))


@pytest.fixture
def data(tmp_path):
    add(tmp_path, "[bold]Deuxième[/bold]", 2_000_000_000)
    add(tmp_path, "Première", 1_000_000_000)
    return tmp_path


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    return status, capsys.readouterr().out


def test_mails_are_listed_with_number_time_recipient_and_subject_newest_last(data, capsys):
    status, shown = run(capsys, "--data", data)
    _, first, second = shown.splitlines()
    assert status == 0
    assert all(part in first for part in ("1", "2001-09-", "Zoé <zoe@example.org>", "Première"))
    assert all(part in second for part in ("2", "2033-05-", "[bold]Deuxième[/bold]"))


def test_one_mail_is_shown_with_its_headers_and_its_text(data, capsys):
    status, shown = run(capsys, "--data", data, 1)
    assert status == 0
    assert "Subject: Première\n" in shown
    assert "\nVoilà !\n" in shown
    assert "<p>" not in shown


def test_a_mail_without_a_text_part_is_shown_as_html(tmp_path, capsys):
    add(tmp_path, "HTML", 1_000_000_000, text="")
    assert "<p>Voilà&nbsp;!</p>" in run(capsys, "--data", tmp_path, 1)[1]


def test_an_empty_mail_is_shown_with_its_headers(tmp_path, capsys):
    add(tmp_path, "Vide", 1_000_000_000, text="", html="")
    assert "Subject: Vide" in run(capsys, "--data", tmp_path, 1)[1]


@pytest.mark.parametrize("number", [0, 3])
def test_a_number_without_a_mail_is_rejected(data, capsys, number):
    status, shown = run(capsys, "--data", data, number)
    assert (status, shown) == (1, f"There is no mail {number}; there are 2.\n")


def test_an_empty_mailbox_has_no_mails(tmp_path, capsys):
    assert run(capsys, "--data", tmp_path) == (0, "There are no mails yet.\n")
