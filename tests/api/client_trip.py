"""A customer's trip with the Python client that openapi-python-client generated.

    python client_trip.py URL EMAIL PRODUCT

It prints the order's last status.
"""

import sys
import time

from mamie_rosa_client import AuthenticatedClient, Client
from mamie_rosa_client.api.catalog import get_product
from mamie_rosa_client.api.orders import create_order, get_order
from mamie_rosa_client.api.users import register_user
from mamie_rosa_client.models import (
    AddressInput,
    CartItem,
    CreateOrderRequest,
    CreateOrderResponse,
    Order,
    Product,
    RegisterUserRequest,
    RegisterUserResponse,
)

ATTEMPTS, PAUSE_SECONDS = 100, 0.2


def main(url: str, email: str, product_id: str) -> str:
    account = RegisterUserRequest(
        email=email, password="croquettes pour tous", first_name="Rosa", last_name="Martin"
    )
    registered = register_user.sync(client=Client(base_url=url, timeout=20), body=account)
    assert isinstance(registered, RegisterUserResponse), registered
    client = AuthenticatedClient(base_url=url, token=registered.token, timeout=20)
    product = get_product.sync(product_id, client=client)
    assert isinstance(product, Product), product
    placed = create_order.sync(
        client=client,
        idempotency_key=f"trip-{registered.user_id}",
        body=CreateOrderRequest(
            items=[CartItem(product_id=product.product_id, quantity=2)],
            shipping_address=AddressInput(
                line1="1 rue des Lilas", postal_code="75011", city="Paris", country="FR"
            ),
        ),
    )
    assert isinstance(placed, CreateOrderResponse), placed
    return wait(client, placed.order_id)


def wait(client: AuthenticatedClient, order_id: str) -> str:
    """Return the status of an order once its saga has ended."""
    for _ in range(ATTEMPTS):
        order = get_order.sync(order_id, client=client)
        assert isinstance(order, Order), order
        if order.status not in ("PENDING", "PAYMENT_PROCESSING"):
            break
        time.sleep(PAUSE_SECONDS)
    return str(order.status)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
