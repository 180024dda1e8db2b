"""Accounts, for clients."""

from google.api import httpbody_pb2
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.context import Caller, current
from services.common.rpc import authorization, rest_hints
from services.users import domain
from services.users.keys import Keyring
from services.users.passwords import Passwords
from services.users.repository import UsersRepository
from services.users.sign_in import SignIn
from services.users.tokens import TokenIssuer


class UsersServicer(users_pb2_grpc.UsersServiceServicer):
    """What clients, and the edge, ask of the accounts."""

    def __init__(
        self,
        *,
        repository: UsersRepository,
        passwords: Passwords,
        sign_in: SignIn,
        keyring: Keyring,
        tokens: TokenIssuer,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._sign_in = sign_in
        self._keyring = keyring
        self._tokens = tokens
        self._clock = clock
        self._new_id = new_id

    def RegisterUser(self, request, context):
        """Create a customer's account and sign them in."""
        user = domain.User(
            user_id=self._new_id(),
            email=request.email,
            first_name=request.first_name,
            last_name=request.last_name,
            animal_type=request.animal_type,
            created_at=self._clock(),
            language=domain.choose_language(current().accept_language),
        )
        # Signed first: what fails after the account exists would answer a repeat with 409.
        token = self._tokens.issue(user)
        password_hash = self._passwords.hash(request.password)
        self._repository.add(domain.Account(user, password_hash))
        answer = users_pb2.RegisterUserResponse(
            user_id=user.user_id, token=token.value, expires_in=token.life_seconds
        )
        return rest_hints.created(context, answer)

    def LoginUser(self, request, context):
        """Sign a user in."""
        user = self._sign_in.sign_in(request.email, request.password)
        token = self._tokens.issue(user)
        return users_pb2.LoginUserResponse(
            user_id=user.user_id, token=token.value, expires_in=token.life_seconds
        )

    def GetUser(self, request, context):
        """Return a profile."""
        authorization.require_self_or_admin(request.id)
        return _render(self._repository.find(request.id))

    def UpdateUser(self, request, context):
        """Replace the name and the preferences of a profile."""
        caller = authorization.require_self_or_admin(request.id)
        user = self._repository.find(request.id)
        changed = domain.revise(
            user,
            first_name=request.first_name,
            last_name=request.last_name,
            animal_type=request.preferences.animal_type,
            notifications_enabled=_accepts_notifications(request.preferences),
            language=_language(user, caller),
        )
        self._repository.update(changed)
        return _render(changed)

    def GetJwks(self, request, context):
        """Return the public keys that verify tokens."""
        return httpbody_pb2.HttpBody(content_type="application/json", data=self._keyring.jwks())


def _language(user: domain.User, caller: Caller) -> domain.Language:
    """Return the user's language now; an administrator's says nothing about it."""
    told = current().accept_language if caller.user_id == user.user_id else ""
    return domain.choose_language(told, otherwise=user.language)


def _accepts_notifications(preferences: users_pb2.Preferences) -> bool:
    """Return the choice; who makes none accepts."""
    left_out = not preferences.HasField("notifications_enabled")
    return left_out or preferences.notifications_enabled


def _render(user: domain.User) -> users_pb2.User:
    return users_pb2.User(
        user_id=user.user_id,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        preferences=users_pb2.Preferences(
            animal_type=user.animal_type, notifications_enabled=user.notifications_enabled
        ),
        created_at=user.created_at,
    )
