"""Notifications of customers, once each, in their language."""

import time
import uuid
from functools import partial

import pytest

from tests.support import delivered_mail
from tests.support.delivered_mail import text_of
from tests.support.shop import error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

MAIL_SECONDS = 10
"""On a machine that does nothing else a mail takes 1 to 2 s."""


@pytest.fixture
def mails_to(stack):
    """Return a function that reads the mails to an address."""
    return partial(delivered_mail.mails_to, stack)


@pytest.mark.parametrize(
    ("language", "welcome", "total"),
    [("fr-FR,fr;q=0.9", "Bienvenue", "23,22 €"), ("en-GB", "Welcome", "€23.22")],
)
def test_an_order_is_summarised_by_mail_in_the_customers_language(
    shop, mails_to, language, welcome, total, say
):
    customer = shop.register(accept_language=language)
    product, code = shop.add_product(price="12.90"), shop.add_promotion()
    order_id = customer.buy((product, 2), promoCode=code)
    bought = time.monotonic()

    def summary():
        return [mail for mail in mails_to(customer.email) if total in text_of(mail)]

    (mail,) = eventually(summary, seconds=MAIL_SECONDS)
    say(f"the mail came {time.monotonic() - bought:.1f} s after the order was confirmed")
    assert order_id in text_of(mail)

    def welcomes():
        return [mail for mail in mails_to(customer.email) if welcome in mail["Subject"]]

    (welcoming,) = eventually(welcomes, seconds=MAIL_SECONDS)
    assert welcoming["Subject"] != mail["Subject"]


def test_a_shipped_order_is_notified_by_mail_and_sms_with_the_tracking_number(
    shop, customer, mails_to
):
    order_id = customer.buy((shop.add_product(), 1))
    path = f"/api/orders/{order_id}/status"
    shop.admin.post(path, {"status": "PROCESSING"})
    shop.admin.post(path, {"status": "SHIPPED", "trackingNumber": "LA0042FR"})
    eventually(
        lambda: any("LA0042FR" in text_of(mail) for mail in mails_to(customer.email)),
        seconds=MAIL_SECONDS,
    )
    notified = eventually(lambda: sent(customer, "order_shipped", count=2))
    assert {notification["channel"] for notification in notified} == {"EMAIL", "SMS"}
    assert "LA0042FR" in next(n["subject"] for n in notified if n["channel"] == "SMS")


def sent(customer, template, *, count):
    """Return the sent notifications of a template once there are `count`."""
    listed = customer.get("/api/notifications").json()["notifications"]
    found = [n for n in listed if n["template"] == template and n["status"] == "SENT"]
    return found if len(found) == count else None


def test_a_cancelled_order_is_notified(shop, customer):
    customer.cancel(customer.buy((shop.add_product(price="7.50"), 2)))
    assert eventually(lambda: sent(customer, "order_cancelled", count=1))


def test_a_promotion_is_sent_only_to_customers_that_accept_notifications(
    shop, customer, other_customer
):
    profile = {"firstName": "Bob", "lastName": "B", "preferences": {"notificationsEnabled": False}}
    assert other_customer.put(f"/api/users/{other_customer.user_id}", profile).status_code == 200
    assert eventually(lambda: sent(customer, "welcome", count=1))
    shop.add_promotion()
    assert eventually(lambda: sent(customer, "promo_created", count=1), seconds=20)
    listed = other_customer.get("/api/notifications").json()["notifications"]
    assert "promo_created" not in {n["template"] for n in listed}


def test_low_stock_is_mailed_to_the_administrator(shop, stack, customer, mails_to):
    title = f"Biscuits {uuid.uuid4().hex}"
    product = shop.add_product(stock=6, title=title)
    customer.place((product, 2))
    admin, _ = stack.admin_credentials()
    eventually(lambda: any(title in text_of(mail) for mail in mails_to(admin)), seconds=30)


def test_the_administrator_gets_mails_of_their_own_orders(shop, mails_to):
    order_id = shop.admin.place((shop.add_product(), 1))
    eventually(
        lambda: any(order_id in text_of(mail) for mail in mails_to(shop.admin.email)),
        seconds=MAIL_SECONDS,
    )


def test_another_customers_notifications_are_not_listed(shop, customer, other_customer):
    path = f"/api/notifications?userId={customer.user_id}"
    assert error_of(other_customer.get(path)) == (403, "NOT_YOURS")
    assert shop.admin.get(path).status_code == 200
