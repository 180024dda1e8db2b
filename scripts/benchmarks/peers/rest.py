"""The same VerifyStock as REST: FastAPI on uvicorn (uvloop, httptools).

`python -m scripts.benchmarks.peers.rest KIND PORT` with MAMIE_STORE_URL; KIND is

    sqlalchemy   a statement by SQLAlchemy on psycopg2, in a thread: what most teams would write
    asyncpg      a prepared statement by asyncpg, on the loop: the fastest way to the same database
    memory       no database at all
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from scripts.benchmarks.peers.asgi import serve

SKU = "prod_001"


class StockCheckRequest(BaseModel):
    """What the owner's contract asks, as JSON."""

    product_id: str = Field(min_length=1, max_length=100)
    quantity: int = Field(ge=1, le=1000)


class StockCheckResponse(BaseModel):
    """What it answers."""

    available: bool
    available_quantity: int


def build_app(kind: str, store_url: str) -> FastAPI:
    """Build the peer of a kind."""
    return {"sqlalchemy": _sqlalchemy_app, "asyncpg": _asyncpg_app, "memory": _memory_app}[kind](
        store_url
    )


def _answer(stock: int | None, request: StockCheckRequest) -> StockCheckResponse:
    if stock is None:
        raise HTTPException(404)
    return StockCheckResponse(available=stock >= request.quantity, available_quantity=stock)


def _sqlalchemy_app(store_url: str) -> FastAPI:
    import sqlalchemy as sa  # noqa: PLC0415 - each peer pays for its own libraries alone

    engine = sa.create_engine(
        store_url.replace("postgresql://", "postgresql+psycopg2://", 1), pool_size=16
    )
    statement = sa.text("SELECT stock FROM products WHERE sku = :sku")
    app = FastAPI()

    @app.post("/verify-stock")
    def verify_stock(request: StockCheckRequest) -> StockCheckResponse:
        with engine.begin() as connection:
            found = connection.execute(statement, {"sku": request.product_id}).scalar_one_or_none()
        return _answer(found, request)

    return app


def _asyncpg_app(store_url: str) -> FastAPI:
    import asyncpg  # noqa: PLC0415

    pool: Any = None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        nonlocal pool
        async with asyncpg.create_pool(store_url, min_size=16, max_size=16) as pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/verify-stock")
    async def verify_stock(request: StockCheckRequest) -> StockCheckResponse:
        statement = "SELECT stock FROM products WHERE sku = $1"
        return _answer(await pool.fetchval(statement, request.product_id), request)

    return app


def _memory_app(_store_url: str) -> FastAPI:
    stock = {SKU: 100}
    app = FastAPI()

    @app.post("/verify-stock")
    async def verify_stock(request: StockCheckRequest) -> StockCheckResponse:
        return _answer(stock.get(request.product_id), request)

    return app


def main() -> None:
    """Serve until it is stopped."""
    kind, port = sys.argv[1:]
    serve(build_app(kind, os.environ.get("MAMIE_STORE_URL", "")), port=int(port))


if __name__ == "__main__":
    main()
