"""The retention job."""

from datetime import timedelta

from services.users.keys import KeyRotation
from services.users.tests.fakes import (
    NOW,
    POLICY,
    InMemoryKeyRepository,
    InMemoryUsersRepository,
    ManualClock,
)
from services.users.throttling import FAILURE_WINDOW, SignInFailures
from services.users.worker import RetentionJob


def test_a_run_rotates_keys_and_deletes_expired_failures():
    clock, users, keys = ManualClock(), InMemoryUsersRepository(), InMemoryKeyRepository()
    rotation = KeyRotation(repository=keys, policy=POLICY, clock=clock)
    recent = SignInFailures(1, NOW - FAILURE_WINDOW)
    old = SignInFailures(1, recent.since - timedelta(seconds=1))
    users.change_failures(["old", "recent"], lambda _: {"old": old, "recent": recent})
    RetentionJob(repository=users, rotation=rotation, clock=clock).run()
    assert len(keys.keys()) == 1
    assert users.failures(["old", "recent"]) == {"recent": recent}
