"""Servicer tests without a socket: grpcio-testing with the real interceptors.

Callers have real tokens, signed with KEY, which TOKENS verifies. A test that wants another token
makes it with `sign_token`; a server on a socket gets `tokens=TOKENS`.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import grpc
import grpc_testing
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf import descriptor, message
from google.rpc import error_details_pb2, status_pb2
from joserfc import jwt
from joserfc.jwk import ECKey

from services.common.rpc.interceptors import Behavior, with_interceptors
from services.common.rpc.public_keys import PublicKeys
from services.common.rpc.status import DETAILS, HTTP_CODE
from services.common.rpc.tokens import ALGORITHM, AUDIENCE, ISSUER, TokenVerifier

DAY_SECONDS = 86_400


def new_key(kid: str) -> ECKey:
    """Generate a key pair like those of users."""
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM})


def publish(*keys: ECKey) -> bytes:
    """Return the public halves of keys as a JSON Web Key Set, as users publishes them."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


_NUMBER = ec.derive_private_key(20_261_127, ec.SECP256R1())
KEY = ECKey.import_key(
    _NUMBER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    {"kid": "test", "use": "sig", "alg": ALGORITHM},
)
"""The same in each process, and so no secret."""


def fetch_keys() -> bytes:
    """Return the public half of KEY, in the place of users."""
    return publish(KEY)


TOKENS = TokenVerifier(keys=PublicKeys(fetch=fetch_keys))


def sign_token(user_id: str, role: str = "customer", *, key: ECKey = KEY, **claims: Any) -> str:
    """Sign a token like those of users, valid for a day; `claims` replace its own."""
    now = int(time.time())
    usual = {
        "sub": user_id,
        "role": role,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + DAY_SECONDS,
    }
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}, usual | claims, key)


def bearer(token: str) -> dict[str, str]:
    """Return the metadata that carries a token."""
    return {"authorization": f"Bearer {token}"}


def signed_in(user_id: str, role: str = "customer") -> dict[str, str]:
    """Return the metadata of a caller with a valid token."""
    return bearer(sign_token(user_id, role))


ALICE_ID = "0a11ce00-0000-4000-8000-000000000001"
BOB_ID = "0b0b0000-0000-4000-8000-000000000002"
ADMIN_ID = "0ad31100-0000-4000-8000-000000000003"
ALICE, BOB, ADMIN = signed_in(ALICE_ID), signed_in(BOB_ID), signed_in(ADMIN_ID, "admin")
ANONYMOUS: dict[str, str] = {}

Detail = TypeVar("Detail", bound=message.Message)


@dataclass(frozen=True)
class Answer:
    """The outcome of a call: code, text, response, initial and trailing metadata."""

    code: grpc.StatusCode
    text: str
    response: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> status_pb2.Status:
        """The google.rpc.Status of an error."""
        return status_pb2.Status.FromString(self.metadata[DETAILS])

    @property
    def reason(self) -> str:
        """The reason of an error."""
        return self.detail(error_details_pb2.ErrorInfo).reason

    @property
    def facts(self) -> dict[str, str]:
        """The metadata of an error's ErrorInfo."""
        return dict(self.detail(error_details_pb2.ErrorInfo).metadata)

    @property
    def http(self) -> int | None:
        """The HTTP code that the service asks for, if it does."""
        code = self.metadata.get(HTTP_CODE)
        return code and int(code)

    def detail(self, kind: type[Detail]) -> Detail:
        """Return the error's detail of a type."""
        found = kind()
        assert any(packed.Unpack(found) for packed in self.status.details)
        return found


class InMemoryServer:
    """Calls a servicer in this process, through all interceptors."""

    def __init__(self, service: descriptor.ServiceDescriptor, servicer: object) -> None:
        self._service = service
        self._trailing: dict[str, Any] = {}
        wrapped = _WithInterceptors(service, servicer, self._trailing)
        self._server = grpc_testing.server_from_dictionary(
            {service: wrapped}, grpc_testing.strict_real_time()
        )

    def call(
        self, method: str, request: message.Message, metadata: dict[str, str] | None = None
    ) -> Answer:
        """Call a method with metadata and wait for its outcome."""
        rpc = self._server.invoke_unary_unary(
            self._service.methods_by_name[method],
            tuple((metadata or {}).items()),
            request,
            5.0,
        )
        response, _, code, text = rpc.termination()
        initial = dict(rpc.initial_metadata()) if code is grpc.StatusCode.OK else {}
        return Answer(code, text, response, {**initial, **self._trailing})


class _WithInterceptors:
    """A servicer with its methods wrapped in the interceptors."""

    def __init__(
        self,
        service: descriptor.ServiceDescriptor,
        servicer: object,
        trailing: dict[str, Any],
    ) -> None:
        def recording(behavior: Behavior) -> Behavior:
            return lambda request, context: behavior(
                request, cast(grpc.ServicerContext, _RecordingContext(context, trailing))
            )

        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            behavior = with_interceptors(getattr(servicer, method.name), path, TOKENS)
            setattr(self, method.name, recording(behavior))


class _RecordingContext:
    """A context that records trailing metadata, which grpcio-testing drops on abort."""

    def __init__(self, context: grpc.ServicerContext, trailing: dict[str, Any]) -> None:
        self._context = context
        self._trailing = trailing
        trailing.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self._trailing.update(metadata)
