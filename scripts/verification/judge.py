"""Judges the facts of a shop in one pass, with the memory of a few orders."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scripts.verification.facts import Facts
from scripts.verification.invariants import (
    Invariant,
    Violation,
    check_charge,
    check_order,
    check_product,
    check_promotion,
    check_waiting,
)

MAX_KEPT = 10_000
"""How many violations of each invariant are kept; all are counted."""


@dataclass
class Verdict:
    """What was judged and what was found; `counts` has the number of each kind of fact."""

    counts: Counter[str] = field(default_factory=Counter)
    totals: Counter[Invariant] = field(default_factory=Counter)
    violations: dict[Invariant, list[Violation]] = field(
        default_factory=lambda: defaultdict(list[Violation])
    )

    def add(self, violation: Violation) -> None:
        """Count a violation, and keep it unless there are many."""
        self.totals[violation.invariant] += 1
        kept = self.violations[violation.invariant]
        if len(kept) < MAX_KEPT:
            kept.append(violation)

    @property
    def holds(self) -> bool:
        """Return whether all invariants hold."""
        return not self.totals.total()

    def of(self, invariant: Invariant) -> Sequence[Violation]:
        """Return the violations of an invariant that were kept."""
        return self.violations.get(invariant, [])


def judge(facts: Facts, now: datetime, *, within: timedelta) -> Verdict:
    """Judge all facts of a shop; `within` is how long an order may take."""
    verdict = Verdict()
    for violation in _find(facts, now, within, verdict.counts):
        verdict.add(violation)
    return verdict


def _find(
    facts: Facts, now: datetime, within: timedelta, counts: Counter[str]
) -> Iterator[Violation]:
    for order in facts.orders():
        counts["orders"] += order.records.order is not None
        counts["answers"] += len(order.answers)
        yield from check_order(order, now, within=within)
    for product in facts.products():
        counts["products"] += 1
        counts["products without a first stock"] += product.supplied is None
        yield from check_product(product)
    for promotion in facts.promotions():
        counts["codes"] += 1
        yield from check_promotion(promotion)
    for charge in facts.charges_without_payment():
        yield from check_charge(charge)
    for waiting in facts.waiting():
        yield from check_waiting(waiting)


def seen_twice(first: Verdict, second: Verdict) -> Verdict:
    """Return the second verdict, with the violations alone that the first has too.

    The stores are not read at one moment: what is seen once may be a change in progress.
    """
    verdict = Verdict(counts=second.counts)
    for invariant, found in second.violations.items():
        if min(first.totals[invariant], second.totals[invariant]) > MAX_KEPT:
            verdict.violations[invariant] = found  # nothing is in progress that often
            verdict.totals[invariant] = second.totals[invariant]
            continue
        before = {violation.subject for violation in first.of(invariant)}
        for violation in found:
            if violation.subject in before:
                verdict.add(violation)
    return verdict
