"""A shop that looks right and is not: it reads, waits for its store, and then writes.

Each rule is there, and is judged on what was true a moment ago. The attacks must succeed here, or
they prove nothing where they fail.
"""

import asyncio
import uuid
from typing import Any

STORE_SECONDS = 0.01
ADMIN = "admin"
Body = dict[str, Any]
Reply = tuple[int, Body]


async def store() -> None:
    """Wait as long as a store takes to answer."""
    await asyncio.sleep(STORE_SECONDS)


class NaiveShop:
    """The shop; its token of a user is the id of the user."""

    def __init__(self) -> None:
        self.emails: list[str] = []
        self.products: dict[str, Body] = {}
        self.promotions: dict[str, Body] = {}
        self.orders: dict[str, Body] = {}
        self.keys: dict[str, Body] = {}
        self.captures: set[asyncio.Task[None]] = set()

    async def answer(self, method: str, path: str, body: Body, user: str, key: str) -> Reply:
        """Answer a request."""
        match method, *path.removeprefix("/api/").split("/"):
            case "POST", "users", "login":
                return 200, {"token": ADMIN}
            case "POST", "users", "register":
                return await self.register(body)
            case "POST", "products":
                product = body | {"productId": str(uuid.uuid4()), "ratings": {"count": 0}}
                self.products[product["productId"]] = product
                return 201, product
            case "GET", "products", name:
                return 200, self.products[name]
            case "PATCH", "products", name, "inventory":
                return await self.adjust(self.products[name], body["quantity"])
            case "POST", "products", name, "ratings":
                return await self.rate(self.products[name], user)
            case "POST", "promotions":
                self.promotions[body["code"]] = body | {"usageCount": 0, "users": []}
                return 201, {}
            case "GET", "promotions", code:
                return 200, self.promotions[code]
            case "GET", "orders":
                return 200, {"total": sum(each["user"] == user for each in self.orders.values())}
            case "POST", "orders":
                return await self.place(body, user, key)
            case "GET", "orders", name, "history":
                return 200, {"events": [{"type": each} for each in self.orders[name]["history"]]}
            case "GET", "orders", name:
                return 200, self.orders[name]
            case "POST", "orders", name, "cancel":
                return await self.cancel(self.orders[name])
            case "POST", "orders", name, "status":
                return await self.change_status(self.orders[name], body["status"])
        return 404, {}

    async def register(self, body: Body) -> Reply:
        """Create an account, unless the email has one."""
        is_known = body["email"] in self.emails
        await store()
        if is_known:
            return 409, {}
        self.emails.append(body["email"])
        return 201, {"token": f"user-{len(self.emails)}"}

    async def adjust(self, product: Body, quantity: int) -> Reply:
        """Change the stock, unless it would be negative."""
        stock = product["stock"]
        await store()
        if stock + quantity < 0:
            return 409, {}
        product["stock"] = stock + quantity
        return 200, {"newQuantity": product["stock"]}

    async def rate(self, product: Body, user: str) -> Reply:
        """Count a rating, once for each customer."""
        raters = product.setdefault("raters", [])
        is_known = user in raters
        await store()
        if not is_known:
            raters.append(user)
            product["ratings"]["count"] += 1
        return 201, {}

    async def place(self, body: Body, user: str, key: str) -> Reply:
        """Place an order, unless its key has one, its stock is short or its code is used up."""
        if known := self.keys.get(key):
            return (201, known) if known["items"] == body["items"] else (409, {})
        (line,) = body["items"]
        if not await self.redeem(body.get("promoCode", ""), user):
            return 422, {}
        status, _ = await self.adjust(self.products[line["productId"]], -line["quantity"])
        if status != 200:
            return 422, {}
        order = {"orderId": str(uuid.uuid4()), "items": body["items"], "user": user}
        order |= {"status": "PENDING", "history": ["OrderPlaced"]}
        self.orders[order["orderId"]] = order
        if key:
            self.keys[key] = order
        task = asyncio.create_task(self.capture(order))
        self.captures.add(task)
        task.add_done_callback(self.captures.discard)
        return 201, order

    async def redeem(self, code: str, user: str) -> bool:
        """Count a use of a code, if there is one left."""
        if not code:
            return True
        rules = self.promotions[code]
        used, used_by_user = rules["usageCount"], rules["users"].count(user)
        await store()
        if used >= rules.get("maxUses", 99) or used_by_user >= rules.get("maxUsesPerUser", 99):
            return False
        rules["usageCount"] += 1
        rules["users"].append(user)
        return True

    async def capture(self, order: Body) -> None:
        """Take the money and confirm the order."""
        await asyncio.sleep(5 * STORE_SECONDS)
        order["status"] = "CONFIRMED"
        order["history"] += ["PaymentCaptured", "OrderConfirmed"]

    async def cancel(self, order: Body) -> Reply:
        """Cancel an order that is not shipped; return the money and the stock."""
        status = order["status"]
        await store()
        if status == "SHIPPED":
            return 409, {}
        if status != "CANCELLED":
            (line,) = order["items"]
            self.products[line["productId"]]["stock"] += line["quantity"]
            order["status"] = "CANCELLED"
            order["history"] += ["OrderCancelled", "PaymentSettled", "StockReleased"]
        return 200, order

    async def change_status(self, order: Body, wanted: str) -> Reply:
        """Pack or ship an order that is not cancelled."""
        status = order["status"]
        await store()
        if status == "CANCELLED":
            return 409, {}
        order["status"] = wanted
        order["history"].append({"SHIPPED": "OrderShipped"}.get(wanted, "OrderPreparationStarted"))
        return 200, order
