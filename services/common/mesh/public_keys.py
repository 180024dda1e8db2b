"""The public keys of users, over the mesh."""

from collections.abc import Sequence

import grpc
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc

from services.common.mesh.channels import Mesh
from services.common.rpc.public_keys import FetchKeys, KeysUnavailableError, PublicKeys
from services.common.rpc.server import ServiceBinding

TIMEOUT_SECONDS = 1.0


def open_keys(
    bindings: Sequence[ServiceBinding], mesh: Mesh | None, fetch: FetchKeys | None
) -> PublicKeys | None:
    """Return the keys for what these services' callers send; None if no method needs a token.

    They come from `fetch`, or from users. None also without both: no server starts then.
    """
    if not any(binding.guarded_methods for binding in bindings):
        return None
    if mesh and not fetch:
        fetch = fetch_from_users(mesh)
    return PublicKeys(fetch=fetch) if fetch else None


def fetch_from_users(mesh: Mesh) -> FetchKeys:
    """Build what fetches the public keys from any instance of users."""
    users = users_pb2_grpc.UsersServiceStub(mesh.channel("users"))

    def fetch() -> bytes:
        try:
            return users.GetJwks(users_pb2.GetJwksRequest(), timeout=TIMEOUT_SECONDS).data
        except grpc.RpcError as error:
            raise KeysUnavailableError from error

    return fetch
