"""Texts are normalised once, before validation."""

import pytest
from mamie_rosa.catalog.v1 import catalog_pb2
from mamie_rosa.users.v1 import users_pb2

from services.common.rpc.normalization import is_typed_by_people, normalize_texts


def test_texts_lose_the_blanks_around_them_and_are_composed():
    request = users_pb2.RegisterUserRequest(
        email=" marie@example.org\t", first_name="\u00a0Andre\u0301 \n", last_name="de la Tour"
    )
    normalize_texts(request)
    assert (request.email, request.first_name) == ("marie@example.org", "Andr\u00e9")
    assert request.last_name == "de la Tour"


def test_a_password_keeps_its_blanks_and_is_composed():
    request = users_pb2.LoginUserRequest(password=" cle\u0301 ")
    normalize_texts(request)
    assert request.password == " cl\u00e9 "


def test_messages_inside_are_normalised():
    request = users_pb2.UpdateUserRequest(preferences=users_pb2.Preferences(animal_type=" cat "))
    normalize_texts(request)
    assert request.preferences.animal_type == "cat"


def test_each_element_of_a_list_is_normalised():
    item = catalog_pb2.StockLine(product_id=" prod_001 ", quantity=1)
    request = catalog_pb2.CheckStockRequest(items=[item, item])
    normalize_texts(request)
    assert [each.product_id for each in request.items] == ["prod_001"] * 2


@pytest.mark.parametrize("kind", [users_pb2.RegisterUserRequest, users_pb2.LoginUserRequest])
def test_an_email_has_its_domain_in_ascii(kind):
    request = kind(email="Marie@EXA\u0308MPLE.fr ")
    normalize_texts(request)
    assert request.email == "Marie@xn--exmple-cua.fr"


def test_a_text_with_an_at_that_is_no_email_keeps_its_characters():
    request = users_pb2.RegisterUserRequest(first_name="marie@ex\u00e4mple.fr")
    normalize_texts(request)
    assert request.first_name == "marie@ex\u00e4mple.fr"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("/mamie_rosa.users.v1.UsersService/LoginUser", True),
        ("/mamie_rosa.catalog.internal.v1.CatalogService/VerifyStock", False),
        ("/mamie_rosa.CatalogService/VerifyStock", False),
    ],
)
def test_only_public_requests_are_typed_by_people(method, expected):
    assert is_typed_by_people(method) is expected
