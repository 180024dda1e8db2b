"""The demo products of the shop: sixty, prod_001 to prod_060, in five categories."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import structlog

from services.catalog.domain import Product, SkuExistsError
from services.catalog.repository import CatalogRepository
from services.common.money import parse_amount

PRODUCTS = Path(__file__).with_name("demo_products.json")
NAMESPACE = UUID("5b0e6a0c-3d0f-4f7e-9a57-6d1c0f8e2b41")
"""Derives a product's id from its sku, so that it is the same on every machine."""

log = structlog.get_logger()


def seed(repository: CatalogRepository) -> None:
    """Add the demo products that do not exist yet; existing products do not change."""
    entries = json.loads(PRODUCTS.read_text(encoding="utf-8"))
    count = sum(_add(repository, entry) for entry in entries)
    log.info("demo_products_added", count=count)


def _add(repository: CatalogRepository, entry: dict[str, Any]) -> bool:
    product = Product(
        product_id=str(uuid5(NAMESPACE, entry["sku"])),
        sku=entry["sku"],
        title=entry["title"],
        description=entry["description"],
        category=entry["category"],
        price=parse_amount(entry["price"]),
        currency="EUR",
        stock=entry["stock"],
        image_url=entry["imageUrl"],
    )
    try:
        repository.add(product)
    except SkuExistsError:
        return False
    return True
