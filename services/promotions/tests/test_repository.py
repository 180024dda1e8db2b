"""Contract tests of the promotions repositories: in memory and Redis."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.context import CallContext, use
from services.common.errors import MamieRosaError, StoreUnavailableError
from services.common.rpc.timestamps import to_timestamp
from services.promotions import demo, domain
from services.promotions.domain import Redemption, RedemptionState, RejectionReason, Usage
from services.promotions.redemptions import RETENTION
from services.promotions.repository import BY_RANK, OUTBOX, RedisPromotionsRepository
from services.promotions.store import connect
from services.promotions.tests.fakes import NOW, InMemoryPromotionsRepository, build_promotion
from tests.support.waiting import eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALL_RULES = build_promotion(
    "ALL",
    valid_from=NOW - timedelta(days=1, microseconds=1),
    valid_until=NOW + timedelta(days=365_000, microseconds=1),
    max_uses=2**31 - 1,
    max_uses_per_user=7,
    min_cart_total=Decimal("12.30"),
    category="crocquettes-été",
)


@pytest.fixture
def client(redis_url):
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def store(client):
    return RedisPromotionsRepository(client, clock=lambda: NOW)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def repository(request):
    if request.param == "redis":
        return request.getfixturevalue("store")
    return InMemoryPromotionsRepository()


def new_order():
    return str(uuid.uuid4())


def counts(repository, code, user_id="alice"):
    usage = repository.find(code, user_id)
    return usage.used, usage.used_by_user


def outcome(call):
    """Return the reason of a rejected call; "" when it succeeds."""
    try:
        call()
    except MamieRosaError as error:
        return error.reason
    return ""


@pytest.mark.parametrize("promotion", [build_promotion(), ALL_RULES], ids=["few", "all"])
def test_a_promotion_is_found_with_all_its_rules(repository, promotion):
    repository.add(promotion)
    assert repository.load(promotion.code) == Usage(promotion=promotion)
    assert repository.find(promotion.code, "alice") == Usage(promotion=promotion)


def test_an_unknown_promotion_is_not_found(repository):
    assert repository.find("NONE") is None
    with pytest.raises(domain.PromotionNotFoundError):
        repository.load("NONE")


def test_a_code_is_unique(repository):
    repository.add(build_promotion())
    with pytest.raises(domain.PromotionExistsError):
        repository.add(build_promotion(discount_percentage=90))
    assert repository.load("TEN").promotion == build_promotion()


def test_a_redemption_is_counted_in_all_and_for_its_customer(repository):
    repository.add(build_promotion())
    for user_id in ("alice", "alice", "bob"):
        repository.redeem(new_order(), "TEN", user_id, NOW)
    assert (counts(repository, "TEN", "alice"), counts(repository, "TEN", "bob")) == (
        (3, 2),
        (3, 1),
    )


def test_redemptions_are_listed_by_order_id_from_an_order_on(repository):
    repository.add(build_promotion())
    orders = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "0a39f"]
    for order_id in orders:
        repository.redeem(order_id.upper(), "TEN", "alice", NOW)

    def listed(order_id, limit):
        return [redemption.order_id for redemption in repository.list_from(order_id, limit)]

    assert listed("", 10) == sorted(orders)
    assert listed(sorted(orders)[2], 2) == sorted(orders)[2:4]
    assert listed("22222222-2222-4222-8222-222222222222", 1) == sorted(orders)[1:2]
    assert listed("ffffffff-ffff-4fff-8fff-ffffffffffff", 1) == []
    named = repository.list_of([orders[3], "22222222-2222-4222-8222-222222222222", orders[0]])
    assert {redemption.order_id for redemption in named} == {orders[3], orders[0]}


def test_a_listed_redemption_has_state_code_customer_and_time(repository):
    redeemed, released, never_redeemed = sorted(new_order() for _ in range(3))
    repository.add(build_promotion())
    for order_id in (redeemed, released):
        repository.redeem(order_id, "TEN", "alice", NOW)
    for order_id in (released, never_redeemed):
        repository.release(order_id, "TEN")
    redemption = Redemption(
        order_id=redeemed,
        state=RedemptionState.REDEEMED,
        code="TEN",
        user_id="alice",
        redeemed_at=NOW,
    )
    assert repository.list_from("", 10) == [
        redemption,
        replace(redemption, order_id=released, state=RedemptionState.RELEASED),
        Redemption(order_id=never_redeemed, state=RedemptionState.RELEASED, code="TEN"),
    ]


def test_redeeming_again_changes_nothing_even_when_the_code_has_expired(repository):
    repository.add(build_promotion(max_uses=1, max_uses_per_user=1))
    order = new_order()
    repository.redeem(order, "TEN", "alice", NOW)
    repository.redeem(order.upper(), "TEN", "alice", NOW + timedelta(days=365))
    assert counts(repository, "TEN") == (1, 1)


def test_a_use_by_an_order_is_found_for_its_customer_until_it_is_released(repository):
    repository.add(build_promotion(max_uses=1))
    repository.add(build_promotion("OTHER"))
    order = new_order()

    def is_redeemed(code="TEN", user_id="alice", order_id=order):
        return repository.find(code, user_id, order_id).redeemed_by_order

    assert not is_redeemed()
    repository.redeem(order, "TEN", "alice", NOW)
    assert is_redeemed()
    assert is_redeemed(order_id=order.upper())
    for other in (
        {"code": "OTHER"},
        {"user_id": "bob"},
        {"order_id": new_order()},
        {"order_id": ""},
    ):
        assert not is_redeemed(**other)
    repository.release(order, "TEN")
    assert not is_redeemed()


@pytest.mark.parametrize(
    ("rules", "uses", "reason"),
    [
        ({"code": "OTHER"}, 0, RejectionReason.CODE_UNKNOWN),
        ({"valid_from": NOW + timedelta.resolution}, 0, RejectionReason.CODE_NOT_STARTED),
        ({"valid_from": NOW}, 0, ""),
        ({"valid_until": NOW}, 0, RejectionReason.CODE_EXPIRED),
        ({"valid_until": NOW + timedelta.resolution}, 0, ""),
        ({"max_uses": 2}, 1, ""),
        ({"max_uses": 2, "max_uses_per_user": 2}, 2, RejectionReason.CODE_EXHAUSTED),
        ({"max_uses_per_user": 2}, 1, ""),
        ({"max_uses_per_user": 2}, 2, RejectionReason.CODE_ALREADY_USED),
    ],
)
def test_a_code_is_redeemed_only_within_its_rules(repository, rules, uses, reason):
    repository.add(build_promotion(**rules))
    for _ in range(uses):
        repository.redeem(new_order(), "TEN", "alice", NOW)
    call = partial(repository.redeem, new_order(), "TEN", "alice", NOW)
    assert outcome(call) == reason
    if reason != RejectionReason.CODE_UNKNOWN:
        assert counts(repository, "TEN")[0] == uses + (not reason)


def test_the_limit_of_one_customer_does_not_affect_another(repository):
    repository.add(build_promotion(max_uses_per_user=1))
    repository.redeem(new_order(), "TEN", "alice", NOW)
    repository.redeem(new_order(), "TEN", "bob", NOW)
    assert counts(repository, "TEN", "bob") == (2, 1)


def test_a_rejected_order_may_redeem_later(repository):
    repository.add(build_promotion(max_uses=1))
    first, second = new_order(), new_order()
    repository.redeem(first, "TEN", "alice", NOW)
    with pytest.raises(domain.CodeExhaustedError):
        repository.redeem(second, "TEN", "bob", NOW)
    repository.release(first, "TEN")
    repository.redeem(second, "TEN", "bob", NOW)
    assert (counts(repository, "TEN", "alice"), counts(repository, "TEN", "bob")) == (
        (1, 0),
        (1, 1),
    )


def test_a_repeated_release_returns_one_use(repository):
    repository.add(build_promotion())
    order = new_order()
    repository.redeem(order, "TEN", "alice", NOW)
    repository.redeem(new_order(), "TEN", "alice", NOW)
    repository.release(order, "TEN")
    repository.release(order.upper(), "TEN")
    assert counts(repository, "TEN") == (1, 1)


def test_a_released_redemption_is_not_redeemed_again(repository):
    repository.add(build_promotion())
    order = new_order()
    repository.redeem(order, "TEN", "alice", NOW)
    repository.release(order, "TEN")
    with pytest.raises(domain.RedemptionReleasedError):
        repository.redeem(order, "TEN", "alice", NOW)
    assert counts(repository, "TEN") == (0, 0)


@pytest.mark.parametrize("code", ["TEN", "OTHER", "NONE"])
def test_an_order_that_released_first_cannot_redeem_later(repository, code):
    repository.add(build_promotion())
    repository.add(build_promotion("OTHER"))
    order = new_order()
    repository.release(order, code)
    repository.release(order, "TEN")
    with pytest.raises(domain.RedemptionReleasedError):
        repository.redeem(order, "TEN", "alice", NOW)
    assert counts(repository, "TEN") == (0, 0)


def test_an_order_redeems_one_code_for_one_customer(repository):
    repository.add(build_promotion())
    repository.add(build_promotion("OTHER"))
    order = new_order()
    repository.redeem(order, "TEN", "alice", NOW)
    for call in (
        partial(repository.redeem, order, "OTHER", "alice", NOW),
        partial(repository.redeem, order, "TEN", "bob", NOW),
        partial(repository.release, order, "OTHER"),
    ):
        assert outcome(call) == "REDEMPTION_MISMATCH"
    assert (counts(repository, "TEN"), counts(repository, "OTHER")) == ((1, 1), (0, 0))


def test_active_promotions_are_listed_largest_discount_first(repository):
    for promotion in (
        build_promotion("B", discount_percentage=9),
        build_promotion("A", discount_percentage=9),
        build_promotion("ALL", discount_percentage=100),
        build_promotion("ONE", discount_percentage=1, valid_from=NOW),
        build_promotion("ENDED", valid_until=NOW),
        build_promotion("SOON", valid_from=NOW + timedelta.resolution),
        build_promotion("LAST", max_uses=1),
        build_promotion("MINE", max_uses_per_user=1),
    ):
        repository.add(promotion)
    for code in ("LAST", "MINE"):
        repository.redeem(new_order(), code, "alice", NOW)
    codes = [promotion.code for promotion in repository.list_active(NOW, 10)]
    assert codes == ["ALL", "MINE", "A", "B", "ONE"]
    assert repository.list_active(NOW, 2) == [
        build_promotion("ALL", discount_percentage=100),
        build_promotion("MINE", max_uses_per_user=1),
    ]


def test_active_promotions_are_found_among_many_inactive_ones(repository):
    for number in range(250):
        repository.add(build_promotion(f"SOON{number}", valid_from=NOW + timedelta(hours=1)))
    repository.add(build_promotion("ONE", discount_percentage=1))
    assert [promotion.code for promotion in repository.list_active(NOW, 10)] == ["ONE"]


def test_seeding_is_idempotent(repository):
    for _ in range(2):
        demo.seed(repository)
    usages = [repository.load(promotion.code) for promotion in demo.PROMOTIONS]
    assert [(usage.promotion, usage.used) for usage in usages] == [
        (demo.WELCOME, 0),
        (demo.EXPIRED, 0),
        (demo.SOLD_OUT, 1),
    ]


def test_seeding_does_not_change_an_existing_code(repository):
    mine = replace(demo.SOLD_OUT, max_uses=100)
    repository.add(mine)
    demo.seed(repository)
    assert repository.load("SOLDOUT5") == Usage(promotion=mine)


@pytest.mark.integration
class TestTheIndexByRank:
    def ranks(self, client):
        return [rank.decode() for rank in client.zrange(BY_RANK, 0, -1)]

    def test_a_code_leaves_it_when_it_is_used_up_and_comes_back_when_it_is_released(
        self, store, client
    ):
        store.add(build_promotion(max_uses=1))
        store.add(build_promotion("ALL", discount_percentage=100))
        order = new_order()
        store.redeem(order, "TEN", "alice", NOW)
        assert self.ranks(client) == ["000:ALL"]
        store.release(order, "TEN")
        assert self.ranks(client) == ["000:ALL", "090:TEN"]

    def test_a_code_leaves_it_when_it_has_ended(self, store, client):
        store.add(build_promotion(valid_until=NOW))
        store.add(build_promotion("SOON", valid_from=NOW + timedelta(hours=1)))
        assert store.list_active(NOW, 10) == []
        assert self.ranks(client) == ["090:SOON"]

    def test_used_codes_are_not_read_to_find_the_active_ones(self, store, client):
        store.add(build_promotion("LEFT", discount_percentage=1))
        for number in range(300):
            store.add(build_promotion(f"MINE{number}", max_uses=1), publish=False)
            store.redeem(new_order(), f"MINE{number}", "alice", NOW)
        assert [promotion.code for promotion in store.list_active(NOW, 10)] == ["LEFT"]
        assert self.ranks(client) == ["099:LEFT"]

    def test_codes_of_the_release_before_are_added_to_it(self, store, client):
        store.add(build_promotion())
        store.add(build_promotion("ENDED", valid_until=NOW))
        client.delete(BY_RANK)
        store.index(NOW)
        assert self.ranks(client) == ["090:TEN"]
        assert [promotion.code for promotion in store.list_active(NOW, 10)] == ["TEN"]


@pytest.mark.integration
class TestRetention:
    """Redis does not grow with the orders of all time."""

    @pytest.fixture
    def brief(self, client):
        return RedisPromotionsRepository(client, clock=lambda: NOW, retention=timedelta(seconds=1))

    def keys(self, client):
        return sorted(key.decode().split(":")[1] for key in client.scan_iter())

    def test_redemptions_and_counts_of_ended_promotions_expire_and_leave_nothing(
        self, brief, client
    ):
        ended = build_promotion(valid_from=NOW - timedelta(days=9), valid_until=NOW)
        brief.add(ended, publish=False)
        before = self.keys(client)
        for number in range(30):
            brief.redeem(new_order(), "TEN", f"customer-{number}", NOW - timedelta(days=1))
            brief.release(new_order(), "TEN")
        eventually(lambda: not any(client.scan_iter("promotions:order:*")))
        assert brief.list_from("", 7) == []
        assert self.keys(client) == before
        assert brief.load("TEN").used == 30

    def test_the_limits_of_an_active_promotion_outlast_its_redemptions(self, brief, client):
        end = datetime.now(UTC) + timedelta(days=1)
        brief.add(build_promotion(valid_until=end, max_uses_per_user=1))
        brief.redeem(new_order(), "TEN", "alice", NOW)
        eventually(lambda: not any(client.scan_iter("promotions:order:*")))
        assert (
            outcome(lambda: brief.redeem(new_order(), "TEN", "alice", NOW)) == "CODE_ALREADY_USED"
        )
        assert client.ttl("promotions:uses:TEN") == pytest.approx(86_401, abs=5)

    def test_a_page_is_full_whatever_has_expired(self, store, client):
        store.add(build_promotion())
        orders = sorted(new_order() for _ in range(40))
        for order_id in orders:
            store.redeem(order_id, "TEN", "alice", NOW)
        for order_id in orders[:25]:
            client.delete(f"promotions:order:{order_id}")
        assert [each.order_id for each in store.list_from("", 10)] == orders[25:35]
        assert client.zcard("promotions:by-order") == 15

    def test_an_order_keeps_its_redemption_for_the_retention(self, store, client):
        store.add(build_promotion())
        order_id = new_order()
        store.redeem(order_id, "TEN", "alice", NOW)
        seconds = RETENTION.total_seconds()
        assert client.ttl(f"promotions:order:{order_id}") == pytest.approx(seconds, abs=5)
        client.persist(f"promotions:order:{order_id}")
        store.release(order_id, "TEN")
        assert client.ttl(f"promotions:order:{order_id}") == pytest.approx(seconds, abs=5)

    def test_what_earlier_releases_wrote_expires_too(self, store, client):
        store.add(build_promotion())
        order_id = new_order()
        store.redeem(order_id, "TEN", "alice", NOW)
        for key in (f"promotions:order:{order_id}", "promotions:uses:TEN"):
            client.persist(key)
        store.list_from("", 10)
        store.index(NOW)
        assert client.ttl(f"promotions:order:{order_id}") > 0
        assert client.ttl("promotions:uses:TEN") > 0

    def test_a_release_after_the_counts_have_expired_counts_nothing(self, store, client):
        store.add(build_promotion())
        order_id = new_order()
        store.redeem(order_id, "TEN", "alice", NOW)
        client.delete("promotions:uses:TEN")
        store.release(order_id, "TEN")
        assert counts(store, "TEN") == (0, 0)


@pytest.mark.integration
class TestTheOutbox:
    @pytest.fixture
    def outbox(self, client):
        return lambda: [fields for _, fields in client.xrange(OUTBOX)]

    def test_a_new_promotion_adds_a_complete_event(self, store, outbox):
        with use(CallContext(traceparent=TRACE)):
            store.add(ALL_RULES)
        (event,) = outbox()
        published = events_pb2.PromoCreated.FromString(event.pop(b"data"))
        assert published == events_pb2.PromoCreated(
            code="ALL",
            discount_percentage=10,
            valid_from=to_timestamp(ALL_RULES.valid_from),
            valid_until=to_timestamp(ALL_RULES.valid_until),
            category="crocquettes-été",
        )
        assert uuid.UUID(event.pop(b"id").decode())
        assert event == {
            b"type": b"mamie_rosa.events.v1.PromoCreated",
            b"source": b"/mamie-rosa/promotions",
            b"subject": b"ALL",
            b"time": NOW.isoformat().encode(),
            b"traceparent": TRACE.encode(),
        }

    def test_events_are_in_the_order_of_creation(self, store, outbox):
        for code in ("C", "A", "B"):
            store.add(build_promotion(code))
        assert [event[b"subject"] for event in outbox()] == [b"C", b"A", b"B"]

    def test_a_rejected_promotion_adds_no_event(self, store, outbox):
        store.add(build_promotion())
        with pytest.raises(domain.PromotionExistsError):
            store.add(build_promotion())
        assert len(outbox()) == 1

    def test_a_creation_that_is_sent_twice_adds_one_promotion_and_one_event(self, client, outbox):
        store = RedisPromotionsRepository(client, new_id=lambda: "the same call")
        store.add(build_promotion())
        store.add(build_promotion())
        assert len(outbox()) == 1

    def test_the_demo_codes_add_no_event(self, store, outbox):
        demo.seed(store)
        assert outbox() == []


@pytest.mark.integration
class TestTheConnection:
    def test_an_unavailable_store_raises_store_unavailable(self):
        with connect("redis://127.0.0.1:1/0") as client:
            repository = RedisPromotionsRepository(client)
            for call in (
                repository.ping,
                partial(repository.find, "TEN"),
                partial(repository.list_active, NOW, 1),
                partial(repository.add, build_promotion()),
                partial(repository.redeem, new_order(), "TEN", "alice", NOW),
                partial(repository.release, new_order(), "TEN"),
            ):
                with pytest.raises(StoreUnavailableError):
                    call()

    def test_a_broken_connection_is_reopened(self, store, client, redis_url):
        store.add(build_promotion())
        with connect(redis_url) as other:
            other.client_kill_filter(_id=client.client_id())
        store.redeem(new_order(), "TEN", "alice", NOW)
        assert counts(store, "TEN") == (1, 1)

    def test_scripts_are_loaded_again_after_a_flush(self, store, client):
        store.add(build_promotion())
        client.script_flush()
        store.redeem(new_order(), "TEN", "alice", NOW)
        assert counts(store, "TEN") == (1, 1)

    def test_ping_succeeds_while_the_store_is_available(self, store):
        store.ping()

    def test_every_key_has_the_prefix(self, store, client):
        store.add(build_promotion())
        store.redeem(new_order(), "TEN", "alice", NOW)
        assert {key.split(b":")[0] for key in client.scan_iter()} == {b"promotions"}


@pytest.mark.integration
class TestUnderConcurrency:
    def test_a_code_is_never_redeemed_beyond_its_limit(self, store):
        store.add(build_promotion(max_uses=20))
        calls = [
            partial(store.redeem, new_order(), "TEN", f"customer-{n}", NOW) for n in range(400)
        ]
        with ThreadPoolExecutor(8) as customers:
            outcomes = list(customers.map(outcome, calls))
        assert (outcomes.count(""), outcomes.count("CODE_EXHAUSTED")) == (20, 380)
        assert store.load("TEN").used == 20

    def test_a_customer_never_redeems_a_code_beyond_their_limit(self, store):
        store.add(build_promotion(max_uses_per_user=2))
        calls = [partial(store.redeem, new_order(), "TEN", "alice", NOW) for _ in range(80)]
        with ThreadPoolExecutor(8) as customers:
            outcomes = list(customers.map(outcome, calls))
        assert (outcomes.count(""), outcomes.count("CODE_ALREADY_USED")) == (2, 78)

    def test_concurrent_repeats_of_one_order_count_once(self, store):
        store.add(build_promotion(max_uses=1, max_uses_per_user=1))
        repeat = partial(store.redeem, new_order(), "TEN", "alice", NOW)
        with ThreadPoolExecutor(20) as repeats:
            assert list(repeats.map(outcome, [repeat] * 20)) == [""] * 20
        assert counts(store, "TEN") == (1, 1)

    def test_concurrent_redemptions_and_releases_leave_the_right_counts(self, store):
        store.add(build_promotion())
        orders = [new_order() for _ in range(50)]
        kept = [new_order() for _ in range(5)]
        calls = [
            call
            for order in orders
            for call in (
                partial(store.redeem, order, "TEN", "alice", NOW),
                partial(store.release, order, "TEN"),
                partial(store.redeem, order, "TEN", "alice", NOW),
                partial(store.release, order, "TEN"),
            )
        ] + [partial(store.redeem, order, "TEN", "alice", NOW) for order in kept]
        with ThreadPoolExecutor(8) as customers:
            assert set(customers.map(outcome, calls)) <= {"", "REDEMPTION_RELEASED"}
        assert counts(store, "TEN") == (5, 5)

    def test_concurrent_creations_of_one_code_add_it_once(self, store, client):
        makes = [partial(store.add, build_promotion(discount_percentage=n + 1)) for n in range(20)]
        with ThreadPoolExecutor(8) as admins:
            outcomes = list(admins.map(outcome, makes))
        assert (outcomes.count(""), outcomes.count("PROMOTION_EXISTS")) == (1, 19)
        assert client.xlen(OUTBOX) == 1
        winner = build_promotion(discount_percentage=outcomes.index("") + 1)
        assert store.list_active(NOW, 10) == [store.load("TEN").promotion] == [winner]


def test_all_promotions_are_listed_by_their_end_the_last_first(repository):
    for code, days in (("SOON", 1), ("LATE", 9), ("PAST", -9)):
        end = NOW + timedelta(days=days)
        begin = end - timedelta(days=1)
        repository.add(build_promotion(code, valid_from=begin, valid_until=end))
    first, total = repository.list_page(page=1, limit=2)
    assert [usage.promotion.code for usage in first] == ["LATE", "SOON"]
    second, _ = repository.list_page(page=2, limit=2)
    assert [usage.promotion.code for usage in second] == ["PAST"]
    assert total == 3
    assert repository.list_page(page=3, limit=2) == ([], 3)


def test_a_promotion_that_is_ended_applies_no_more_and_keeps_its_uses(repository):
    repository.add(build_promotion())
    repository.redeem(new_order(), "TEN", "alice", NOW)
    ended = repository.end("TEN", NOW)
    assert (ended.promotion.valid_until, ended.used) == (NOW, 1)
    assert outcome(partial(repository.redeem, new_order(), "TEN", "bob", NOW)) == "CODE_EXPIRED"
    assert repository.list_active(NOW, 10) == []
    assert repository.end("TEN", NOW + timedelta(days=1)) == ended


def test_a_promotion_that_has_not_begun_has_ended_too_once_it_is_ended(repository):
    tomorrow = NOW + timedelta(days=1)
    repository.add(build_promotion(valid_from=tomorrow, valid_until=tomorrow + timedelta(days=1)))
    usage = repository.end("TEN", NOW)
    assert domain.find_rejection(usage, NOW) is RejectionReason.CODE_EXPIRED
    with pytest.raises(domain.PromotionNotFoundError):
        repository.end("NONE", NOW)
