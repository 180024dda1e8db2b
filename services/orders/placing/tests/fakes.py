"""Attempts in memory."""

from typing_extensions import override

from services.common.errors import UnprocessableError
from services.orders.ports import Attempt, Attempts


class InMemoryAttempts(Attempts):
    """Attempts in a dictionary; `expire` lets those in progress run out."""

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}
        self._refusals: dict[tuple[str, str], UnprocessableError] = {}
        self._fingerprints: dict[str, str] = {}
        self._count = 0

    @override
    def begin(self, order_id: str, fingerprint: str) -> Attempt | None:
        if refusal := self._refusals.get((order_id, fingerprint)):
            raise refusal
        if order_id in self.holders:
            return None
        self._count += 1
        self.holders[order_id] = f"attempt-{self._count}"
        self._fingerprints[order_id] = fingerprint
        return Attempt(order_id, self.holders[order_id])

    @override
    def end(self, attempt: Attempt) -> None:
        if self.holds(attempt):
            del self.holders[attempt.order_id]

    @override
    def refuse(self, attempt: Attempt, refusal: UnprocessableError) -> bool:
        if not self.holds(attempt):
            return False
        del self.holders[attempt.order_id]
        self._refusals[attempt.order_id, self._fingerprints[attempt.order_id]] = refusal
        return True

    def holds(self, attempt: Attempt) -> bool:
        return self.holders.get(attempt.order_id) == attempt.token

    def expire(self) -> None:
        self.holders.clear()
