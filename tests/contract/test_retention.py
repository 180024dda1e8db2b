"""What one service deletes, no other one asks for."""

from datetime import timedelta

from services.orders.reconciliation.domain import REDEMPTION_AGE
from services.promotions.redemptions import RETENTION


def test_redemptions_are_kept_longer_than_the_reconciliation_compares_them():
    assert timedelta(days=30) <= RETENTION - REDEMPTION_AGE
