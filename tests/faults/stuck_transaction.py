"""The process of an instance that is frozen inside a transaction.

`python -m tests.faults.stuck_transaction STORE_URL PRODUCT_ID`: with the engine that services
use, it locks a product as a reservation does, and stops itself (SIGSTOP).
"""

import os
import signal
import sys

import sqlalchemy as sa

from services.catalog.schema import products
from services.common.storage import postgres


def lock_and_freeze(store_url: str, product_id: str) -> None:
    """Lock the product's row and stop this process while it holds the lock."""
    with postgres.transaction(postgres.create_engine(store_url)) as connection:
        row = sa.select(products).where(products.c.product_id == product_id)
        assert connection.execute(row.with_for_update()).one()
        print("locked", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    lock_and_freeze(*sys.argv[1:])
