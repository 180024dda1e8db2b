"""Recommends products to customers, and remembers the answers for a while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.clock import Clock, utc_now
from services.recommendations import domain
from services.recommendations.domain import Recommendation
from services.recommendations.repository import RecommendationsRepository

MAX_AGE_SECONDS = 120.0
"""How old an answer gets; what other customers buy shows in it later than that at most."""
CACHE_SIZE = 5_000
"""How many answers are kept, a kilobyte each: those asked for last."""


@dataclass(frozen=True)
class Answer:
    """Recommendations, the customer's version for which they hold, and when they were found."""

    version: str
    found_at: float
    recommendations: Sequence[Recommendation]


class Recommender:
    """Recommends products; an answer holds until an event changes the customer.

    The version of a customer is read each time, and whatever changes their purchases changes it:
    so every instance knows. An answer with fewer products than wanted is not kept, as the graph
    may be filling.
    """

    def __init__(
        self,
        *,
        repository: RecommendationsRepository,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, int], Answer] = OrderedDict()

    def recommend(self, user_id: str, limit: int) -> Sequence[Recommendation]:
        """Return at most `limit` recommendations, best first."""
        # Read before the candidates: a change in between makes the answer look older than it is.
        version = self._repository.read_version(user_id)
        if known := self._recall(user_id, limit, version):
            return known
        candidates = self._repository.load_candidates(user_id, limit)
        found = domain.recommend(candidates, limit, self._clock())
        if version and len(found) == limit:
            self._remember(user_id, limit, Answer(version, self._monotonic(), found))
        return found

    def _recall(self, user_id: str, limit: int, version: str) -> Sequence[Recommendation]:
        with self._lock:
            known = self._answers.get((user_id, limit))
            if not known or known.version != version:
                return []
            if self._monotonic() - known.found_at > MAX_AGE_SECONDS:
                return []
            self._answers.move_to_end((user_id, limit))
            return known.recommendations

    def _remember(self, user_id: str, limit: int, answer: Answer) -> None:
        with self._lock:
            self._answers[user_id, limit] = answer
            self._answers.move_to_end((user_id, limit))
            if len(self._answers) > CACHE_SIZE:
                self._answers.popitem(last=False)
