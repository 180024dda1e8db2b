"""The invariants on a running stack, judged about what one test made."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typing_extensions import override

from scripts.verification.__main__ import read_urls
from scripts.verification.facts import (
    Charge,
    Facts,
    OrderFacts,
    ProductFacts,
    PromotionFacts,
    Waiting,
)
from scripts.verification.judge import Verdict, judge
from scripts.verification.stores import StoredFacts
from tests.support.running_stack import RunningStack

WITHIN = timedelta(seconds=60)


@dataclass
class Selected(Facts):
    """The facts about some orders, products and codes; nothing of what belongs to none."""

    facts: StoredFacts
    ids: Collection[str]

    @override
    def orders(self) -> Iterator[OrderFacts]:
        return (each for each in self.facts.orders() if each.order_id in self.ids)

    @override
    def products(self) -> Iterator[ProductFacts]:
        return (each for each in self.facts.products() if each.product_id in self.ids)

    @override
    def promotions(self) -> Iterator[PromotionFacts]:
        return (each for each in self.facts.promotions() if each.code in self.ids)

    @override
    def charges_without_payment(self) -> Iterator[Charge]:
        return iter(())

    @override
    def waiting(self) -> Iterator[Waiting]:
        return iter(())


def judge_selected(
    stack: RunningStack, ids: Collection[str], answers: Path | None = None
) -> Verdict:
    """Judge once the invariants of some orders, products and codes of a running stack.

    What was changed a moment ago may not have had all its effects yet.
    """
    with StoredFacts(read_urls(stack), answers) as facts:
        return judge(Selected(facts, ids), datetime.now(UTC), within=WITHIN)
