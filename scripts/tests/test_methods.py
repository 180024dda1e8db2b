"""The public methods are read from the descriptor set as the protos declare them."""

import re

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from scripts.protos import generate, methods


@pytest.fixture(scope="module")
def public():
    return methods.public_methods(generate.DESCRIPTORS)


def test_every_http_rule_of_the_protos_is_a_public_method(public):
    rules = sum(
        len(re.findall(r"option \(google\.api\.http\)", path.read_text()))
        for path in generate.PROTOS.rglob("mamie_rosa/**/*.proto")
    )
    assert len(public) == rules > 0


def test_a_public_method_has_its_names_its_path_and_its_options(public):
    found = next(method for method in public if method.method == "GetOrder")
    assert (found.service, found.verb) == ("mamie_rosa.orders.v1.OrdersService", "GET")
    assert found.path == "/api/orders/{id}"
    assert found.grpc_path == "/mamie_rosa.orders.v1.OrdersService/GetOrder"
    assert found.path_fields == ["id"]
    assert found.input_type == ".mamie_rosa.orders.v1.GetOrderRequest"
    assert (found.access, found.timeout_seconds, found.streams) == ("SIGNED_IN", 5, False)
    assert found.path_regex == "/api/orders/[^/]+/?"


def test_no_internal_service_has_a_public_method(public):
    assert [method for method in public if ".internal." in method.service] == []
    services = methods.public_services(generate.DESCRIPTORS)
    assert "mamie_rosa.catalog.v1.CatalogService" in services
    assert services == sorted(set(services))


def test_every_method_is_public_or_internal(public):
    internal = methods.internal_methods(generate.DESCRIPTORS)
    assert "/mamie_rosa.catalog.internal.v1.CatalogService/ReserveStock" in internal
    assert "/mamie_rosa.CatalogService/VerifyStock" in internal
    assert not set(internal) & {method.grpc_path for method in public}


def described(*paths):
    """Return a descriptor set with one method for each path."""
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="a.proto", package="mamie_rosa.a.v1")
    service = file.service.add(name="A")
    for number, path in enumerate(paths):
        method = service.method.add(name=f"M{number}", input_type=".mamie_rosa.a.v1.In")
        method.options.Extensions[annotations_pb2.http].get = path
    file.message_type.add(name="In").field.add(name="limit")
    return files


@pytest.fixture
def descriptor_set(tmp_path):
    file = tmp_path / "set.binpb"

    def write(*paths):
        file.write_bytes(described(*paths).SerializeToString())
        return file

    return write


def test_fields_of_paths_are_listed_in_every_spelling(descriptor_set):
    paths = ("/api/a/{id}", "/api/b/{order_id}/c/{line_2}", "/api/d/{name=shelves/*}", "/api/e")
    assert methods.path_fields(descriptor_set(*paths)) == [
        "id",
        "line2",
        "line_2",
        "name",
        "orderId",
        "order_id",
    ]


def test_methods_of_another_package_are_ignored(tmp_path):
    files = described("/api/a")
    files.file[0].package = "mamie_rosalie"
    (tmp_path / "set").write_bytes(files.SerializeToString())
    assert methods.public_methods(tmp_path / "set") == []
