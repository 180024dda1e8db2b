"""The shop as one program: FastAPI, one PostgreSQL, one process a core.

`python -m scripts.benchmarks.peers.monolith PORT` with MAMIE_STORE_URL, after `prepare(url)`.

POST /api/orders takes the same body as the shop's and keeps the same rules: the token is verified,
lines are merged and priced, the promotion code is judged and redeemed, the stock is taken by a
guarded UPDATE, the card is charged by the same sandbox rule, and the order, its lines and its
payment are written, all in one transaction. It has no events, no history, no mails and no
recommendations; nothing of it can be deployed, scaled or fail by itself.
"""

import os
import sys
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import FastAPI, Header, HTTPException
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import BaseModel, Field

from scripts.benchmarks.peers.asgi import serve

WORKERS = 2
SECRET = OctKey.import_key("the monolith signs its tokens with one shared secret")
SCHEMA = """
CREATE TABLE products (sku text PRIMARY KEY, title text NOT NULL, price numeric(10, 2) NOT NULL,
    stock integer NOT NULL CHECK (stock >= 0));
CREATE TABLE promotions (code text PRIMARY KEY, percentage integer NOT NULL, uses integer NOT NULL,
    max_uses integer NOT NULL);
CREATE TABLE orders (order_id uuid PRIMARY KEY, user_id text NOT NULL, status text NOT NULL,
    idempotency_key text, total numeric(12, 2) NOT NULL, discount numeric(12, 2) NOT NULL,
    address jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, idempotency_key));
CREATE TABLE order_items (order_id uuid NOT NULL REFERENCES orders, sku text NOT NULL,
    quantity integer NOT NULL, unit_price numeric(10, 2) NOT NULL, PRIMARY KEY (order_id, sku));
CREATE TABLE payments (order_id uuid PRIMARY KEY REFERENCES orders, amount numeric(12, 2) NOT NULL,
    state text NOT NULL);
"""
FIND_ORDER = sa.text(
    "SELECT order_id, total, discount FROM orders WHERE user_id = :user AND idempotency_key = :key"
)
TAKE = sa.text(
    "UPDATE products SET stock = stock - :quantity WHERE sku = :sku AND stock >= :quantity"
    " RETURNING price"
)
REDEEM = sa.text(
    "UPDATE promotions SET uses = uses + 1 WHERE code = :code AND uses < max_uses"
    " RETURNING percentage"
)
ADD_ORDER = sa.text(
    "INSERT INTO orders (order_id, user_id, status, idempotency_key, total, discount, address)"
    " VALUES (:order_id, :user, 'CONFIRMED', :key, :total, :discount, CAST(:address AS jsonb))"
)
ADD_ITEM = sa.text("INSERT INTO order_items VALUES (:order_id, :sku, :quantity, :price)")
ADD_PAYMENT = sa.text("INSERT INTO payments VALUES (:order_id, :amount, 'CAPTURED')")


class Item(BaseModel):
    """A line of a cart."""

    productId: str = Field(min_length=1, max_length=100)  # noqa: N815 - as JSON has it
    quantity: int = Field(ge=1, le=1000)


class Address(BaseModel):
    """Where an order goes."""

    line1: str = Field(min_length=1, max_length=200)
    postalCode: str = Field(min_length=1, max_length=20)  # noqa: N815
    city: str = Field(min_length=1, max_length=100)
    country: str = Field(pattern="^[A-Z]{2}$")


class Cart(BaseModel):
    """What POST /api/orders takes."""

    items: list[Item] = Field(min_length=1, max_length=100)
    shippingAddress: Address  # noqa: N815
    promoCode: str = ""  # noqa: N815
    paymentToken: str = "tok_ok"  # noqa: N815 - the sandbox's good card


def token_of(user_id: str) -> str:
    """Return a token of a user, as the monolith's sign-in would give."""
    return jwt.encode({"alg": "HS256"}, {"sub": user_id}, SECRET)


def prepare(url: str, *, products: int = 60, stock: int = 1_000_000) -> None:
    """Make the tables in an empty database, and fill them."""
    engine = sa.create_engine(_driver_url(url))
    rows = [
        {"sku": f"prod_{number:03}", "title": f"Product {number}", "price": Decimal("12.90")}
        for number in range(1, products + 1)
    ]
    with engine.begin() as connection:
        connection.execute(sa.text(SCHEMA))
        insert = f"INSERT INTO products VALUES (:sku, :title, :price, {stock})"  # noqa: S608
        connection.execute(sa.text(insert), rows)
        connection.execute(sa.text("INSERT INTO promotions VALUES ('WELCOME10', 10, 0, 1000000)"))
    engine.dispose()


def build_app(url: str) -> FastAPI:
    """Build the monolith on a prepared database."""
    engine = sa.create_engine(_driver_url(url), pool_size=16)
    app = FastAPI()

    @app.post("/api/orders", status_code=201)
    def create_order(
        cart: Cart,
        authorization: Annotated[str, Header()],
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        user_id = _verified(authorization)
        if cart.paymentToken != "tok_ok":
            raise HTTPException(422, "declined")
        with engine.begin() as connection:
            known = connection.execute(FIND_ORDER, {"user": user_id, "key": idempotency_key})
            if order := known.one_or_none():
                return _render(order.order_id, order.total, order.discount)
            return _place(connection, user_id, cart, idempotency_key)

    return app


def _verified(authorization: str) -> str:
    claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET).claims
    return str(claims["sub"])


def _place(connection: sa.Connection, user_id: str, cart: Cart, key: str | None) -> dict[str, Any]:
    order_id = uuid.uuid4()
    prices = {sku: _take(connection, sku, quantity) for sku, quantity in _merged(cart).items()}
    total = sum((prices[sku] * count for sku, count in _merged(cart).items()), Decimal(0))
    discount = _discount(connection, cart.promoCode, total)
    order = {
        "order_id": order_id,
        "user": user_id,
        "key": key,
        "total": total,
        "discount": discount,
        "address": cart.shippingAddress.model_dump_json(),
    }
    connection.execute(ADD_ORDER, order)
    lines = [
        {"order_id": order_id, "sku": sku, "quantity": count, "price": prices[sku]}
        for sku, count in _merged(cart).items()
    ]
    connection.execute(ADD_ITEM, lines)
    connection.execute(ADD_PAYMENT, {"order_id": order_id, "amount": total - discount})
    return _render(order_id, total, discount)


def _merged(cart: Cart) -> Mapping[str, int]:
    wanted: dict[str, int] = {}
    for item in sorted(cart.items, key=lambda item: item.productId):
        wanted[item.productId] = wanted.get(item.productId, 0) + item.quantity
    return wanted


def _take(connection: sa.Connection, sku: str, quantity: int) -> Decimal:
    price = connection.execute(TAKE, {"sku": sku, "quantity": quantity}).scalar_one_or_none()
    if price is None:
        raise HTTPException(422, "out of stock")
    return Decimal(price)


def _discount(connection: sa.Connection, code: str, total: Decimal) -> Decimal:
    if not code:
        return Decimal(0)
    percentage = connection.execute(REDEEM, {"code": code}).scalar_one_or_none()
    if percentage is None:
        raise HTTPException(422, "code does not apply")
    return (total * percentage / 100).quantize(Decimal("0.01"))


def _render(order_id: uuid.UUID, total: Decimal, discount: Decimal) -> dict[str, Any]:
    return {
        "orderId": str(order_id),
        "status": "CONFIRMED",
        "totalAmount": f"{total:.2f}",
        "discount": f"{discount:.2f}",
        "finalAmount": f"{total - discount:.2f}",
        "currency": "EUR",
    }


def _driver_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def app() -> FastAPI:
    """Return the monolith that uvicorn's workers serve."""
    return build_app(os.environ["MAMIE_STORE_URL"])


def main() -> None:
    """Serve on the port of the command line until it is stopped."""
    serve(
        "scripts.benchmarks.peers.monolith:app",
        port=int(sys.argv[1]),
        factory=True,
        workers=WORKERS,
    )


if __name__ == "__main__":
    main()
