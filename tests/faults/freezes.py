"""The matrix of freezes: what is frozen, for how long, and what must work meanwhile.

A frozen process (SIGSTOP) is not dead: its connections stay open, new ones are accepted by the
kernel, and no answer comes. That is how a paused machine looks, a stalled disk, a garbage
collection, a network that swallows packets.

Whatever is frozen: every call is answered within `ANSWER_SECONDS`, calls that need nothing
frozen succeed, and `RECOVERY_SECONDS` after the thaw all is as if nothing had happened: each
acknowledged order is confirmed, each event has had its effect, nobody restarted anything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ANSWER_SECONDS = 5.0
CHANGE_SECONDS = 8.0
"""How long the edge waits for orders to change one (`timeout_seconds` in the proto)."""
OVERHEAD_SECONDS = 1.0
"""What the test's own process may need to send a call and to read the answer: it is busy."""
SETTLE_SECONDS = 6.0
"""Until the mesh has noticed that an instance is frozen, and calls the other instances only."""
RECOVERY_SECONDS = 15.0
DURATIONS = (1, 5, 30, 120)

USERS, CATALOG, ORDERS = {"sign_in", "profile"}, {"product"}, {"order", "orders"}


@dataclass(frozen=True)
class Frozen:
    """Parts that are frozen together, and the calls that may fail meanwhile (calls.py).

    All other calls must succeed: from the first moment, or from `settle_seconds` on.
    """

    parts: Sequence[str]
    fails: frozenset[str] = frozenset()
    settle_seconds: float = 0.0

    @property
    def name(self) -> str:
        """Return the names of the parts."""
        return "+".join(self.parts)

    def answer_seconds(self, call: str) -> float:
        """Return the most that an answer to a call may take."""
        waits = call == "order" and any(part.startswith("orders") for part in self.parts)
        return (CHANGE_SECONDS if waits else ANSWER_SECONDS) + OVERHEAD_SECONDS


def frozen_part(*parts: str, fails: set[str] | None = None, settle_seconds: float = 0) -> Frozen:
    """Return a row of the matrix."""
    return Frozen(parts, frozenset(fails or ()), settle_seconds)


# An order needs users for nothing, payments and notifications not at once, and promotions only
# when it has a code. The start page leaves out what does not answer, and says so.
DEPENDENCIES = (
    frozen_part("postgres", fails={*USERS, *CATALOG, "order", "notifications"}),
    frozen_part("mongodb", fails=ORDERS),
    frozen_part("redis", fails={"validate"}),
    frozen_part("neo4j", fails={"recommendations"}),
    frozen_part("rabbitmq"),
    frozen_part("smtp"),
    frozen_part("consul"),
    frozen_part("control_plane"),
)
SERVICES = (
    frozen_part("users", fails=USERS),
    frozen_part("catalog", fails={*CATALOG, "order"}),
    frozen_part("orders", fails=ORDERS),
    frozen_part("promotions", fails={"validate"}),
    frozen_part("payments"),
    frozen_part("recommendations", fails={"recommendations"}),
    frozen_part("notifications", fails={"notifications"}),
    frozen_part("storefront", fails={"home"}),
)
"""All instances of each service."""
ONE_INSTANCE_EACH = frozen_part(
    *(f"{each}-1" for each in ("users", "catalog", "orders", "promotions", "payments")),
    fails=set(),
    settle_seconds=SETTLE_SECONDS,
)
"""The other instances go on without them."""


def together(*names: str) -> Frozen:
    """Return several rows of the matrix as one: they are frozen at the same time."""
    rows = [row for row in (*DEPENDENCIES, *SERVICES) if row.name in names]
    parts = [part for row in rows for part in row.parts]
    return frozen_part(*parts, fails={call for row in rows for call in row.fails})


Cell = tuple[Frozen, int]
"""What is frozen, and for how many seconds."""

SELECTED: Sequence[Cell] = (
    (together("postgres"), 5),
    (together("mongodb", "redis"), 5),
    (together("neo4j", "smtp", "consul", "control_plane"), 5),
    (together("rabbitmq"), 30),
    (ONE_INSTANCE_EACH, 12),
)
"""Three minutes: every dependency, and the broker for longer than its heartbeats."""


def full() -> Iterator[Cell]:
    """Yield every cell of the matrix: some 50 minutes."""
    for row in (*DEPENDENCIES, *SERVICES, ONE_INSTANCE_EACH):
        for seconds in DURATIONS:
            yield row, seconds
