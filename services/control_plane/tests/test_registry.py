"""The service registry."""

import asyncio

from services.control_plane.tests.published import ONE, SOON, TIMEOUT_SECONDS, TWO, run


def test_nothing_is_published_before_every_service_is_read():
    async def scenario(registry, published):
        assert registry.set_names(["catalog", "orders"]) == ["catalog", "orders"]
        registry.set_instances("catalog", [ONE])
        assert published.count == 0
        registry.set_instances("orders", [])
        assert published.last == {"catalog": [ONE], "orders": []}

    run(scenario)


def test_an_empty_registry_is_published():
    async def scenario(registry, published):
        registry.set_names([])
        assert published.last == {}

    run(scenario)


def test_only_new_names_are_returned():
    async def scenario(registry, _published):
        registry.set_names(["catalog"])
        assert registry.set_names(["catalog", "orders"]) == ["orders"]

    run(scenario)


def test_a_service_that_left_consul_stays_in_the_registry():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        assert registry.set_names([]) == []
        assert published.last == {"catalog": [ONE]}

    run(scenario)


def test_a_service_that_left_consul_before_it_was_read_holds_nothing_up():
    async def scenario(registry, published):
        registry.set_names(["catalog", "passing"])
        registry.set_instances("catalog", [ONE])
        assert published.count == 0
        registry.set_names(["catalog"])
        assert published.last == {"catalog": [ONE]}
        assert registry.set_names(["catalog", "passing"]) == ["passing"]
        registry.set_instances("passing", [TWO])
        assert published.last == {"catalog": [ONE], "passing": [TWO]}

    run(scenario)


def test_a_new_service_that_is_not_read_yet_holds_no_other_up():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_names(["catalog", "orders"])
        registry.set_instances("catalog", [TWO])
        assert published.last == {"catalog": [TWO]}

    run(scenario)


def test_what_is_known_already_is_not_published_again():
    async def scenario(registry, published):
        registry.set_names(["catalog", "orders"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("orders", [])
        assert published.count == 1
        for _ in range(3):
            registry.set_names(["catalog", "orders"])
            registry.set_instances("catalog", [ONE])
            registry.set_instances("orders", [])
        assert published.count == 1

    run(scenario)


def test_one_of_several_instances_is_removed_at_once():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE, TWO])
        registry.set_instances("catalog", [TWO])
        assert published.last == {"catalog": [TWO]}

    run(scenario)


def test_the_last_instance_is_not_removed_at_once():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("catalog", [])
        assert published.last == {"catalog": [ONE]}

    run(scenario)


def test_the_last_instance_is_removed_after_the_grace_period():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("catalog", [])
        await published.until({"catalog": ()})

    run(scenario, grace_seconds=SOON)


def test_another_empty_result_does_not_extend_the_grace_period():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while published.last == {"catalog": [ONE]}:
                registry.set_instances("catalog", [])
                await asyncio.sleep(0)
        assert published.last == {"catalog": ()}

    run(scenario, grace_seconds=SOON)


def test_an_instance_that_returns_within_the_grace_period_is_not_removed():
    async def scenario(registry, published):
        registry.set_names(["catalog", "other"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("other", [TWO])
        registry.set_instances("catalog", [])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("other", [])
        await published.until({"catalog": [ONE], "other": ()})

    run(scenario, grace_seconds=SOON)


def test_an_instance_that_returns_after_the_grace_period_is_added():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("catalog", [])
        await published.until({"catalog": ()})
        registry.set_instances("catalog", [TWO])
        assert published.last == {"catalog": [TWO]}

    run(scenario, grace_seconds=SOON)
