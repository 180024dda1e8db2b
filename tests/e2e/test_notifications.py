"""What clients are told, in their language, once."""

import email
import email.policy
import uuid

import pytest

from tests.support.shop import problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

MAIL_SECONDS = 2


@pytest.fixture
def mails_to(stack):
    """Return what finds the mails to an address."""

    def find(address):
        theirs = stack.mails_to(address)
        return [email.message_from_bytes(mail, policy=email.policy.default) for mail in theirs]

    return find


def text_of(message):
    return message.get_body(("plain",)).get_content().replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("language", "welcome", "total"),
    [("fr-FR,fr;q=0.9", "Bienvenue", "23,22 €"), ("en-GB", "Welcome", "€23.22")],
)
def test_an_order_is_summed_up_by_mail_in_the_clients_language_within_two_seconds(
    shop, mails_to, language, welcome, total
):
    alice = shop.register(accept_language=language)
    product, code = shop.add_product(price="12.90"), shop.add_promotion()
    order_id = alice.place((product, 2), promoCode=code)
    alice.await_status(order_id, "CONFIRMED")

    def summary():
        return [mail for mail in mails_to(alice.email) if total in text_of(mail)]

    (mail,) = eventually(summary, seconds=MAIL_SECONDS)
    assert order_id in text_of(mail)

    def welcomed():
        return [mail for mail in mails_to(alice.email) if welcome in mail["Subject"]]

    (greeting,) = eventually(welcomed, seconds=MAIL_SECONDS)
    assert greeting["Subject"] != mail["Subject"]


def test_a_shipped_order_is_told_by_mail_and_sms_with_the_tracking_number(shop, alice, mails_to):
    order_id = alice.place((shop.add_product(), 1))
    alice.await_status(order_id, "CONFIRMED")
    path = f"/api/orders/{order_id}/status"
    shop.admin.post(path, {"status": "PROCESSING"})
    shop.admin.post(path, {"status": "SHIPPED", "trackingNumber": "LA0042FR"})
    eventually(
        lambda: any("LA0042FR" in text_of(mail) for mail in mails_to(alice.email)),
        seconds=MAIL_SECONDS,
    )
    told = eventually(lambda: sent(alice, "order_shipped", count=2))
    assert {notification["channel"] for notification in told} == {"EMAIL", "SMS"}
    assert "LA0042FR" in next(n["subject"] for n in told if n["channel"] == "SMS")


def sent(person, template, *, count):
    """Return what was sent of a template, as soon as it is that many."""
    listed = person.get("/api/notifications").json()["notifications"]
    found = [n for n in listed if n["template"] == template and n["status"] == "SENT"]
    return found if len(found) == count else None


def test_a_cancelled_order_is_told_with_the_refund(shop, alice):
    order_id = alice.place((shop.add_product(price="7.50"), 2))
    alice.await_status(order_id, "CONFIRMED")
    alice.post(f"/api/orders/{order_id}/cancel", {"reason": "changed my mind"})
    assert eventually(lambda: sent(alice, "order_cancelled", count=1))


def test_a_promotion_reaches_only_those_who_accept_notifications(shop, alice):
    bob = shop.register()
    profile = {"firstName": "Bob", "lastName": "B", "preferences": {"notificationsEnabled": False}}
    assert bob.put(f"/api/users/{bob.user_id}", profile).status_code == 200
    assert eventually(lambda: sent(alice, "welcome", count=1))
    shop.add_promotion()
    assert eventually(lambda: sent(alice, "promo_created", count=1), seconds=20)
    listed = bob.get("/api/notifications").json()["notifications"]
    assert "promo_created" not in {n["template"] for n in listed}


def test_low_stock_is_told_to_the_administrator(shop, stack, alice, mails_to):
    title = f"Biscuits {uuid.uuid4().hex}"
    product = shop.add_product(stock=6, title=title)
    alice.place((product, 2))
    admin, _ = stack.admin_credentials()
    eventually(lambda: any(title in text_of(mail) for mail in mails_to(admin)))


def test_the_administrator_is_known_from_the_start_and_gets_the_mails_of_their_orders(
    shop, mails_to
):
    order_id = shop.admin.place((shop.add_product(), 1))
    eventually(
        lambda: any(order_id in text_of(mail) for mail in mails_to(shop.admin.email)),
        seconds=MAIL_SECONDS,
    )


def test_notifications_are_their_clients_alone(shop, alice):
    path = f"/api/notifications?userId={alice.user_id}"
    assert problem(shop.register().get(path)) == (403, "NOT_YOURS")
    assert shop.admin.get(path).status_code == 200
