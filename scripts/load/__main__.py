"""The command of scripts/load-catalog: loads, removes or measures made-up products."""

import argparse
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from rich.console import Console

from scripts.load.measure import measure
from scripts.load.products import SKU_PREFIX, LoadedProduct, make_products
from scripts.stack.client import Stack
from scripts.stack.settings import DEFAULT_DATA
from services.catalog.search_text import build_document

BATCH_SIZE = 20_000
PRODUCTS = (
    "products (product_id, sku, title, description, category, price, currency, stock, image_url)"
)
LISTINGS = "listings (product_id, sku, category, document)"
RATINGS = """
    INSERT INTO product_ratings (product_id, stars_sum, rating_count)
    SELECT product_id, 4 * (1 + stock %% 50), 1 + stock %% 50 FROM products
    WHERE starts_with(sku, %(prefix)s) AND stock %% 3 = 0 ON CONFLICT DO NOTHING
"""
COUNT = "SELECT count(*) FROM products WHERE starts_with(sku, %(prefix)s)"
DEPENDENT = ("listings", "product_ratings", "ratings", "inventory_adjustments")
"""The tables whose rows belong to a product."""

DELETE_DEPENDENT = """
    DELETE FROM {} WHERE product_id IN
    (SELECT product_id FROM products WHERE starts_with(sku, %(prefix)s))
"""
DELETE = "DELETE FROM products WHERE starts_with(sku, %(prefix)s)"
DROP_INDEX = "DROP INDEX IF EXISTS listings_by_word"
CREATE_INDEX = "CREATE INDEX listings_by_word ON listings USING gin (document)"
LOADED = {"prefix": SKU_PREFIX}

console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, remove or measure, and return the exit status."""
    options = _parse(arguments)
    stack = Stack(options.data)
    if options.measure:
        console.print(measure(stack, visitors=options.visitors), markup=False)
        return 0
    connection = psycopg2.connect(stack.store_url("catalog"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET maintenance_work_mem = '256MB'")
        began = time.monotonic()
        count = remove(cursor) if options.remove else load(cursor, options.count)
        if options.ratings:
            cursor.execute(RATINGS, LOADED)
        # An index-only scan needs the visibility map, an estimate the statistics.
        cursor.execute("VACUUM ANALYZE products, listings, product_ratings")
    connection.close()
    done = "removed" if options.remove else "loaded"
    console.print(f"{count} products {done} in {time.monotonic() - began:.0f} s")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/load-catalog", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    parser.add_argument("--ratings", action="store_true", help="rate every third product")
    parser.add_argument("--visitors", type=int, default=60, help="with --measure: who search")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("count", type=int, nargs="?", metavar="N", help="load so many products")
    what.add_argument("--remove", action="store_true", help="remove the loaded products")
    what.add_argument("--measure", action="store_true", help="print what calls cost")
    return parser.parse_args(arguments)


def load(cursor: Any, count: int) -> int:
    """Copy products into the catalog that are not there yet, and return how many these were."""
    cursor.execute(COUNT, LOADED)
    (loaded,) = cursor.fetchone()
    made = islice(make_products(count), loaded, None)
    cursor.execute(
        DROP_INDEX
    )  # it is built at once in a tenth of the time; searches fail meanwhile
    while batch := list(islice(made, BATCH_SIZE)):
        _copy(cursor, PRODUCTS, map(_to_product_row, batch))
        _copy(cursor, LISTINGS, map(_to_listing_row, batch))
    cursor.execute(CREATE_INDEX)
    return max(0, count - loaded)


def remove(cursor: Any) -> int:
    """Delete the loaded products and what belongs to them, and return how many these were."""
    for table in DEPENDENT:
        cursor.execute(sql.SQL(DELETE_DEPENDENT).format(sql.Identifier(table)), LOADED)
    cursor.execute(DELETE, LOADED)
    return int(cursor.rowcount)


def _copy(cursor: Any, target: str, rows: Iterable[Iterable[object]]) -> None:
    lines = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    cursor.copy_expert(f"COPY {target} FROM STDIN", io.StringIO(lines))


def _to_product_row(product: LoadedProduct) -> Iterator[object]:
    yield from (product.product_id, product.sku, product.title, product.description)
    yield from (product.category, product.price, "EUR", product.stock, "")


def _to_listing_row(product: LoadedProduct) -> Iterator[object]:
    yield from (product.product_id, product.sku, product.category)
    yield build_document(product.title, product.description)


if __name__ == "__main__":
    raise SystemExit(main())
