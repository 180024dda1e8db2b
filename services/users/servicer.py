"""UsersService: registration, sign-in, profiles and the public keys."""

import grpc
from google.api import httpbody_pb2
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc
from typing_extensions import override

from services.common import email_addresses
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.context import Caller, current
from services.common.languages import Language
from services.common.rpc import authorization, rest_hints
from services.common.rpc.timestamps import to_timestamp
from services.users import domain
from services.users.accept_language import choose_language
from services.users.devices import KnownDevices
from services.users.domain import Account, User
from services.users.keys import Keyring
from services.users.passwords import Passwords
from services.users.repository import UsersRepository
from services.users.sign_in import Credentials, SignIn
from services.users.tokens import TokenIssuer


class UsersServicer(users_pb2_grpc.UsersServiceServicer):
    """Serves accounts to customers and administrators, and public keys to the edge."""

    def __init__(
        self,
        *,
        repository: UsersRepository,
        passwords: Passwords,
        sign_in: SignIn,
        keyring: Keyring,
        tokens: TokenIssuer,
        devices: KnownDevices,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._sign_in = sign_in
        self._keyring = keyring
        self._tokens = tokens
        self._devices = devices
        self._clock = clock
        self._new_id = new_id

    @override
    def RegisterUser(
        self, request: users_pb2.RegisterUserRequest, context: grpc.ServicerContext
    ) -> users_pb2.RegisterUserResponse:
        user = self._new_customer(request)
        # Issued first: a failure after the account exists would answer the repeat with 409.
        token = self._tokens.issue(user)
        device_token = self._issue_device_token(user)
        self._repository.add(Account(user, self._passwords.hash(request.password)))
        response = users_pb2.RegisterUserResponse(
            user_id=user.user_id,
            token=token.value,
            expires_in=token.lifetime_seconds,
            device_token=device_token,
        )
        return rest_hints.created(context, response)

    @override
    def LoginUser(
        self, request: users_pb2.LoginUserRequest, context: grpc.ServicerContext
    ) -> users_pb2.LoginUserResponse:
        user = self._sign_in.sign_in(_credentials(request))
        token = self._tokens.issue(user)
        return users_pb2.LoginUserResponse(
            user_id=user.user_id,
            token=token.value,
            expires_in=token.lifetime_seconds,
            device_token=self._issue_device_token(user),
            role=user.role.value,
        )

    @override
    def GetUser(
        self, request: users_pb2.GetUserRequest, context: grpc.ServicerContext
    ) -> users_pb2.User:
        authorization.require_self_or_admin(request.id)
        return rest_hints.revalidated(context, _render(self._repository.find(request.id)))

    @override
    def FindUser(
        self, request: users_pb2.FindUserRequest, context: grpc.ServicerContext
    ) -> users_pb2.User:
        authorization.require_admin()
        account = self._repository.find_by_email(domain.canonical_email(request.email))
        if account is None:
            raise domain.UserNotFoundError
        return rest_hints.uncacheable(context, _render(account.user))

    @override
    def UpdateUser(
        self, request: users_pb2.UpdateUserRequest, context: grpc.ServicerContext
    ) -> users_pb2.User:
        caller = authorization.require_self_or_admin(request.id)
        user = self._repository.find(request.id)
        updated = domain.update_profile(
            user,
            first_name=request.first_name,
            last_name=request.last_name,
            animal_type=request.preferences.animal_type,
            notifications_enabled=_accepts_notifications(request.preferences),
            language=_choose_language(user, caller),
        )
        self._repository.update(updated)
        return _render(updated)

    @override
    def ChangePassword(
        self, request: users_pb2.ChangePasswordRequest, context: grpc.ServicerContext
    ) -> users_pb2.ChangePasswordResponse:
        authorization.require_self(request.id)
        user = self._repository.find(request.id)
        credentials = Credentials(
            email=user.email,
            password=request.current_password,
            caller_address=current().caller_address,
        )
        self._sign_in.change_password(credentials, request.new_password)
        return users_pb2.ChangePasswordResponse()

    @override
    def GetJwks(
        self, request: users_pb2.GetJwksRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        keys = httpbody_pb2.HttpBody(content_type="application/json", data=self._keyring.jwks())
        return rest_hints.revalidated(context, keys)

    def _issue_device_token(self, user: User) -> str:
        return self._devices.issue(domain.canonical_email(user.email))

    def _new_customer(self, request: users_pb2.RegisterUserRequest) -> User:
        return User(
            user_id=self._new_id(),
            email=request.email,
            first_name=request.first_name,
            last_name=request.last_name,
            animal_type=request.animal_type,
            created_at=self._clock(),
            language=choose_language(current().accept_language),
        )


def _credentials(request: users_pb2.LoginUserRequest) -> Credentials:
    return Credentials(
        email=request.email,
        password=request.password,
        caller_address=current().caller_address,
        device_token=request.device_token,
    )


def _choose_language(user: User, caller: Caller) -> Language:
    """Choose by the user's own Accept-Language; an administrator's does not count."""
    header = current().accept_language if caller.user_id == user.user_id else ""
    return choose_language(header, default=user.language)


def _accepts_notifications(preferences: users_pb2.Preferences) -> bool:
    """Return the preference; true when left out."""
    left_out = not preferences.HasField("notifications_enabled")
    return left_out or preferences.notifications_enabled


def _render(user: User) -> users_pb2.User:
    return users_pb2.User(
        user_id=user.user_id,
        email=email_addresses.to_unicode(user.email),
        first_name=user.first_name,
        last_name=user.last_name,
        preferences=users_pb2.Preferences(
            animal_type=user.animal_type, notifications_enabled=user.notifications_enabled
        ),
        created_at=to_timestamp(user.created_at),
    )
