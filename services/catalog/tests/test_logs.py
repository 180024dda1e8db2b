"""What catalog logs when a rating cannot be stored: nothing of what the customer wrote."""

import pytest
import sqlalchemy as sa
import structlog

from services.catalog.ratings_repository import PostgresRatingsRepository
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.tests.fakes import build_product
from services.common.tests.logs import assert_nothing_private, logged

COMMENT = "Alice Martin, alice@customers.example: my cat likes it"


@pytest.mark.integration
@pytest.mark.parametrize("table", ["ratings", "product_ratings"])
def test_a_rating_that_cannot_be_stored_logs_nothing_of_it(engine, table):
    product = build_product(1)
    PostgresCatalogRepository(engine).add(product)
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (false)"))
    with logged("catalog") as output:
        with pytest.raises(sa.exc.IntegrityError) as caught:
            PostgresRatingsRepository(engine).rate(
                product.product_id, "alice", stars=5, comment=COMMENT
            )
        structlog.get_logger().error("call_crashed", exc_info=caught.value)
    assert_nothing_private(output, event="call_crashed")
