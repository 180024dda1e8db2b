"""Every notification in words: in both languages, with the facts of real events."""

from html.parser import HTMLParser

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.notifications import domain
from services.notifications.consumer import effect_of
from services.notifications.domain import Channel, NotSentError, Recipient
from services.notifications.formats import format_day, format_money
from services.notifications.rendering import TEMPLATES, Renderer
from services.notifications.tests.fakes import (
    LINE,
    NOW,
    build_client,
    build_notification,
    cloud_event,
    order_created,
    stamp,
    user_created,
)

SHIPPED = events_pb2.OrderShipped(order_id="order-1", user_id="marie", tracking_number="TRK42")
DELIVERED = events_pb2.OrderDelivered(order_id="order-1", user_id="marie", items=[LINE])
LOW = events_pb2.StockLow(product_id="p1", sku="prod_001", title="Croquettes", quantity=3)
DISCREPANCIES = events_pb2.DiscrepanciesFound(
    discrepancies=[
        events_pb2.Discrepancy(
            kind="ORDER_NOT_PAID", order_id="order-1", facts={"amount": "9.90"}, failure="AWAY"
        )
    ],
    total_count=1,
)
PROMO = events_pb2.PromoCreated(
    code="NOEL15",
    discount_percentage=15,
    valid_from=stamp(NOW),
    valid_until=stamp(NOW.replace(day=30)),
    category="toys",
)


def cancelled(refund="23.22", reason=""):
    return events_pb2.OrderCancelled(
        order_id="order-1", user_id="marie", reason=reason, refund_amount=refund, currency="EUR"
    )


def words(data, language="fr", channel=Channel.EMAIL, **client):
    """Return the first notice of an event on a channel, in words."""
    notices = effect_of(cloud_event(data)).notices
    notice = next(notice for notice in notices if notice.channel is channel)
    notification = build_notification(
        template=notice.template, facts=notice.facts, channel=notice.channel
    )
    recipient = domain.address(build_client(language=language, **client))
    return Renderer().render(notification, recipient)


def plain(text):
    """Return a text with ordinary spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


class Balanced(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    EMPTY = ("meta", "br")

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


EVENTS = (
    *(user_created(), order_created(), cancelled(), SHIPPED, DELIVERED, PROMO),
    *(LOW, DISCREPANCIES),
)


@pytest.mark.parametrize("language", domain.LANGUAGES)
@pytest.mark.parametrize("data", EVENTS, ids=lambda data: type(data).__name__)
def test_every_mail_has_a_subject_a_text_and_sound_html(data, language):
    wording = words(data, language)
    assert wording.language == language
    assert 0 < len(wording.subject) < 78
    assert wording.text.strip()
    checked = Balanced()
    checked.feed(wording.html)
    assert checked.open == []
    assert f'<html lang="{language}">' in wording.html


def test_every_template_is_there_in_both_languages():
    french, english = (
        {path.name for path in (TEMPLATES / language).iterdir()} for language in domain.LANGUAGES
    )
    assert french == english


@pytest.mark.parametrize(("language", "total"), [("fr", "23,22 €"), ("en", "€23.22")])
def test_a_summary_tells_lines_discount_and_total_in_the_clients_language(language, total):
    wording = words(order_created(), language)
    for text in (wording.text, wording.html):
        assert "2 \N{MULTIPLICATION SIGN} Croquettes" in text
        assert "25" in text
        assert "2,58" in text or "2.58" in text
        assert total in plain(text)
        assert "order-1" in text
    assert total in plain(wording.subject)


def test_a_summary_without_discount_does_not_speak_of_one():
    data = order_created()
    data.discount, data.final_amount = "0.00", "25.80"
    assert "Remise" not in words(data).text
    assert "Discount" not in words(data, "en").html


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (cancelled("23.22"), "Je vous rembourse 23,22 €"),
        (cancelled("0.00"), "Rien n'a été débité"),
        (cancelled(reason="PAYMENT_DECLINED"), "Le paiement a été refusé."),
        (cancelled(reason="trop tard"), "Motif : trop tard"),
    ],
)
def test_a_cancellation_says_why_and_what_is_returned(data, said):
    assert said in plain(words(data).text)


def test_a_reason_that_is_a_code_for_programs_is_not_shown():
    assert "SOME_CODE" not in words(cancelled(reason="SOME_CODE")).text


@pytest.mark.parametrize("language", domain.LANGUAGES)
def test_a_parcel_has_its_tracking_number_in_mail_and_sms(language):
    mail, sms = words(SHIPPED, language), words(SHIPPED, language, Channel.SMS)
    assert all("TRK42" in text for text in (mail.text, mail.html, sms.text))
    assert (sms.subject, sms.html) == (sms.text, "")
    assert len(sms.text) <= 160


def test_a_parcel_without_tracking_number_does_not_speak_of_one():
    data = events_pb2.OrderShipped(order_id="order-1", user_id="marie")
    assert "suivi" not in words(data).text
    assert "tracking" not in words(data, "en", Channel.SMS).text


@pytest.mark.parametrize("language", domain.LANGUAGES)
def test_a_delivery_names_the_products_to_rate(language):
    wording = words(DELIVERED, language)
    assert "Croquettes" in wording.text
    assert "<li>Croquettes</li>" in wording.html


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("fr", ("15 %", "les jouets", "au 30 novembre 2026")),
        ("en", ("15%", "toys", "to 30 November 2026")),
    ],
)
def test_a_promotion_tells_its_code_reduction_category_and_days(language, said):
    text = plain(words(PROMO, language).text)
    assert all(part in text for part in ("NOEL15", *said))


def test_an_alert_names_the_product_and_greets_nobody():
    wording = words(LOW, "en")
    assert "Croquettes" in wording.subject
    assert "prod_001" in wording.text
    assert "Dear" not in wording.text
    assert "Marie" not in wording.html


def test_what_comes_from_outside_is_escaped_in_html_alone():
    data = order_created()
    data.items[0].title = "<script>alert(1)</script>"
    wording = words(data, first_name="<b>Marie</b>")
    assert "<script>" not in wording.html
    assert "&lt;script&gt;" in wording.html
    assert "<b>Marie</b>" not in wording.html
    assert "<script>alert(1)</script>" in wording.text


def test_a_subject_is_one_line_whatever_a_product_is_called():
    low = events_pb2.StockLow(title="Croquettes\r\nBcc: all@example.org\u2028!", quantity=1)
    assert len(words(low).subject.splitlines()) == 1


def test_a_client_without_a_first_name_is_greeted_all_the_same():
    assert words(SHIPPED, first_name="").text.startswith("Bonjour,\n")


@pytest.mark.parametrize("broken", ["{% block subject %}{{ nothing }}{% endblock %}", "{% if %}"])
def test_a_broken_template_is_a_failure_of_this_notification(tmp_path, broken):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "order_shipped.txt").write_text(broken)
    with pytest.raises(NotSentError, match="TEMPLATE_BROKEN"):
        Renderer(tmp_path).render(
            build_notification(), Recipient(email="marie@example.org", language="fr")
        )


def test_an_amount_that_is_none_is_a_failure_too():
    facts = {"order_id": "o", "reason": "", "refund_amount": "1.00 euro", "currency": "EUR"}
    broken = build_notification(template="promo_created", facts=facts)
    with pytest.raises(NotSentError, match="TEMPLATE_BROKEN"):
        Renderer().render(broken, domain.address(build_client()))


@pytest.mark.parametrize(
    ("amount", "currency", "french", "english"),
    [
        ("23.22", "EUR", "23,22 €", "€23.22"),
        ("1234567.5", "EUR", "1 234 567,50 €", "€1,234,567.50"),
        ("0", "CHF", "0,00 CHF", "CHF 0.00"),
    ],
)
def test_amounts_are_written_as_people_do(amount, currency, french, english):
    assert plain(format_money(amount, currency, "fr")) == french
    assert plain(format_money(amount, currency, "en")) == english


@pytest.mark.parametrize(
    ("moment", "french", "english"),
    [
        ("2026-03-01T00:00:00+00:00", "1er mars 2026", "1 March 2026"),
        ("2026-12-31T23:59:59.999999+00:00", "31 décembre 2026", "31 December 2026"),
    ],
)
def test_days_are_written_as_people_do(moment, french, english):
    assert plain(format_day(moment, "fr")) == french
    assert plain(format_day(moment, "en")) == english
