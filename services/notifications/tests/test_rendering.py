"""Every template in every language, with the variables of real events."""

from html.parser import HTMLParser

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.languages import Language
from services.common.rpc.timestamps import to_timestamp
from services.notifications import domain
from services.notifications.consumer import to_effect
from services.notifications.domain import Channel, NotSentError, Recipient
from services.notifications.formats import format_day, format_money
from services.notifications.rendering import TEMPLATES, Renderer
from services.notifications.tests.fakes import (
    LINE,
    NOW,
    SHOP_URL,
    build_customer,
    build_notification,
    cloud_event,
    order_created,
    user_created,
)

SHIPPED = events_pb2.OrderShipped(order_id="order-1", user_id="marie", tracking_number="TRK42")
DELIVERED = events_pb2.OrderDelivered(order_id="order-1", user_id="marie", items=[LINE])
LOW = events_pb2.StockLow(product_id="p1", sku="prod_001", title="Croquettes", quantity=3)
DISCREPANCIES = events_pb2.DiscrepanciesFound(
    discrepancies=[
        events_pb2.Discrepancy(
            kind="ORDER_NOT_PAID",
            order_id="order-1",
            facts={"amount": "9.90"},
            failure="UNAVAILABLE",
        )
    ],
    total_count=1,
)
PROMO = events_pb2.PromoCreated(
    code="NOEL15",
    discount_percentage=15,
    valid_from=to_timestamp(NOW),
    valid_until=to_timestamp(NOW.replace(day=30)),
    category="toys",
)


def cancelled(refund="23.22", reason=""):
    return events_pb2.OrderCancelled(
        order_id="order-1", user_id="marie", reason=reason, refund_amount=refund, currency="EUR"
    )


def render(data, language=Language.FR, channel=Channel.EMAIL, **customer):
    """Render the first notification of an event on a channel."""
    requests = to_effect(cloud_event(data)).requests
    request = next(request for request in requests if request.channel is channel)
    notification = build_notification(
        template=request.template, variables=request.variables, channel=request.channel
    )
    recipient = domain.to_recipient(build_customer(language=language, **customer))
    return Renderer(shop_url=SHOP_URL).render(notification, recipient)


def with_plain_spaces(text):
    """Replace the spaces that do not break."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


class Balanced(HTMLParser):
    """Checks that every element is closed, in order."""

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


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("data", EVENTS, ids=lambda data: type(data).__name__)
def test_every_mail_has_a_subject_a_text_and_balanced_html(data, language):
    content = render(data, language)
    assert content.language == language
    assert 0 < len(content.subject) < 78
    assert content.text.strip()
    checked = Balanced()
    checked.feed(content.html)
    assert checked.open == []
    assert f'<html lang="{language}">' in content.html


def test_every_template_exists_in_every_language():
    french, english = (
        {path.name for path in (TEMPLATES / language).iterdir()} for language in Language
    )
    assert french == english


@pytest.mark.parametrize(("language", "total"), [("fr", "23,22 €"), ("en", "€23.22")])
def test_an_order_summary_has_lines_discount_and_total_in_the_customers_language(language, total):
    content = render(order_created(), language)
    for text in (content.text, content.html):
        assert "2 \N{MULTIPLICATION SIGN} Croquettes" in text
        assert "25" in text
        assert "2,58" in text or "2.58" in text
        assert total in with_plain_spaces(text)
        assert "order-1" in text
    assert total in with_plain_spaces(content.subject)


def test_an_order_summary_without_discount_does_not_mention_one():
    data = order_created()
    data.discount, data.final_amount = "0.00", "25.80"
    assert "Remise" not in render(data).text
    assert "Discount" not in render(data, "en").html


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (cancelled("23.22"), "Je vous rembourse 23,22 €"),
        (cancelled("0.00"), "rien à rembourser"),
        (cancelled(reason="PAYMENT_DECLINED"), "Le paiement a été refusé."),
        (cancelled(reason="trop tard"), "Motif : trop tard"),
    ],
)
def test_a_cancellation_has_its_reason_and_refund(data, expected):
    assert expected in with_plain_spaces(render(data).text)


def test_a_reason_code_without_a_text_is_not_shown():
    assert "SOME_CODE" not in render(cancelled(reason="SOME_CODE")).text


@pytest.mark.parametrize("language", Language)
def test_a_shipment_has_its_tracking_number_in_mail_and_sms(language):
    mail, sms = render(SHIPPED, language), render(SHIPPED, language, Channel.SMS)
    assert all("TRK42" in text for text in (mail.text, mail.html, sms.text))
    assert (sms.subject, sms.html) == (sms.text, "")
    assert len(sms.text) <= 160


def test_a_shipment_without_tracking_number_does_not_mention_one():
    data = events_pb2.OrderShipped(order_id="order-1", user_id="marie")
    assert "suivi" not in render(data).text
    assert "tracking" not in render(data, "en", Channel.SMS).text


@pytest.mark.parametrize("language", Language)
def test_a_delivery_names_the_products_to_rate(language):
    content = render(DELIVERED, language)
    assert "Croquettes" in content.text
    assert "<li>Croquettes</li>" in content.html


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("fr", ("15 %", "les jouets", "au 30 novembre 2026")),
        ("en", ("15%", "toys", "to 30 November 2026")),
    ],
)
def test_a_promotion_has_its_code_discount_category_and_days(language, expected):
    text = with_plain_spaces(render(PROMO, language).text)
    assert all(part in text for part in ("NOEL15", *expected))


def test_an_alert_names_the_product_without_a_greeting():
    content = render(LOW, "en")
    assert "Croquettes" in content.subject
    assert "prod_001" in content.text
    assert "Dear" not in content.text
    assert "Marie" not in content.html


@pytest.mark.parametrize(
    ("language", "count", "expected"),
    [
        (Language.EN, 1, "1 discrepancy"),
        (Language.EN, 2, "2 discrepancies"),
        (Language.FR, 1, "1 écart"),
        (Language.FR, 2, "2 écarts"),
    ],
)
def test_discrepancies_are_counted_in_the_subject_and_the_text(language, count, expected):
    data = events_pb2.DiscrepanciesFound(total_count=count)
    rendered = render(data, language)
    assert rendered.subject.endswith(expected)
    assert f"{expected} " in rendered.text


def test_variables_are_escaped_in_html_only():
    data = order_created()
    data.items[0].title = "<script>alert(1)</script>"
    content = render(data, first_name="<b>Marie</b>")
    assert "<script>" not in content.html
    assert "&lt;script&gt;" in content.html
    assert "<b>Marie</b>" not in content.html
    assert "<script>alert(1)</script>" in content.text


def test_a_subject_is_one_line():
    low = events_pb2.StockLow(title="Croquettes\r\nBcc: all@example.org\u2028!", quantity=1)
    assert len(render(low).subject.splitlines()) == 1


def test_a_customer_without_a_first_name_is_greeted():
    assert render(SHIPPED, first_name="").text.startswith("Bonjour,\n")


@pytest.mark.parametrize("broken", ["{% block subject %}{{ nothing }}{% endblock %}", "{% if %}"])
def test_a_broken_template_is_an_error(tmp_path, broken):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "order_shipped.txt").write_text(broken)
    with pytest.raises(NotSentError, match="TEMPLATE_BROKEN"):
        Renderer(tmp_path, shop_url=SHOP_URL).render(
            build_notification(), Recipient(email="marie@example.org", language=Language.FR)
        )


def test_an_invalid_amount_is_an_error():
    variables = {"order_id": "o", "reason": "", "refund_amount": "1.00 euro", "currency": "EUR"}
    broken = build_notification(template="promo_created", variables=variables)
    with pytest.raises(NotSentError, match="TEMPLATE_BROKEN"):
        Renderer(shop_url=SHOP_URL).render(broken, domain.to_recipient(build_customer()))


@pytest.mark.parametrize(
    ("amount", "currency", "french", "english"),
    [
        ("23.22", "EUR", "23,22 €", "€23.22"),
        ("1234567.5", "EUR", "1 234 567,50 €", "€1,234,567.50"),
        ("0", "USD", "0,00 $US", "US$0.00"),
    ],
)
def test_amounts_are_formatted_by_language(amount, currency, french, english):
    assert with_plain_spaces(format_money(amount, currency, Language.FR)) == french
    assert with_plain_spaces(format_money(amount, currency, Language.EN)) == english


@pytest.mark.parametrize(
    ("moment", "french", "english"),
    [
        ("2026-03-01T00:00:00+00:00", "1er mars 2026", "1 March 2026"),
        ("2026-12-31T23:59:59.999999+00:00", "31 décembre 2026", "31 December 2026"),
    ],
)
def test_days_are_formatted_by_language(moment, french, english):
    assert with_plain_spaces(format_day(moment, Language.FR)) == french
    assert with_plain_spaces(format_day(moment, Language.EN)) == english


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(
    ("data", "path"),
    [
        (order_created(order_id="order-1"), "/shop/orders/order-1"),
        (SHIPPED, "/shop/orders/order-1"),
        (DELIVERED, "/shop/orders/order-1"),
        (cancelled(), "/shop/orders/order-1"),
        (user_created(), "/"),
        (PROMO, "/shop/products?category=toys"),
        (LOW, "/admin/products/prod_001"),
        (DISCREPANCIES, "/admin/checks"),
    ],
)
def test_a_mail_leads_to_the_page_that_it_is_about(data, path, language):
    content = render(data, language)
    assert f'href="{SHOP_URL}{path}"' in content.html
    assert f" {SHOP_URL}{path}\n" in content.text
