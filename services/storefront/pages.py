"""How pages and their files are answered: what browsers may load, and what they may keep."""

import grpc
from google.api import httpbody_pb2

from services.storefront.assets import Asset, Assets

# Scripts, styles and fonts of the shop alone, none of them inline. Text becomes HTML in the one
# way that lit has. Nothing is framed, and no form leaves the page without its script.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html",
    )
)
HEADERS = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    # A link in a page never shows an order's id to another host.
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
)
ONE_YEAR_SECONDS = 31_536_000


def answer_shell(context: grpc.ServicerContext, assets: Assets) -> httpbody_pb2.HttpBody:
    """Answer with the page that every path has; the edge answers 304 when the browser has it."""
    etag = ("etag", f'"{assets.version}"')
    headers = (("cache-control", "no-cache"), etag, ("vary", "accept-encoding"))
    context.send_initial_metadata((*HEADERS, *headers))
    return _to_body(assets.shell)


def answer_asset(
    context: grpc.ServicerContext, assets: Assets, *, version: str, path: str
) -> httpbody_pb2.HttpBody:
    """Answer with a file, to be kept for a year if it is of the version asked for.

    During a rollout a page of one version may reach an instance of another: it gets the file,
    and nobody keeps it.
    """
    asset = assets.find(path)
    is_of_version = version == assets.version
    caching = f"public, max-age={ONE_YEAR_SECONDS}, immutable" if is_of_version else "no-store"
    context.send_initial_metadata((*HEADERS, ("cache-control", caching)))
    return _to_body(asset)


def _to_body(asset: Asset) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type=asset.content_type, data=asset.data)
