"""Prepares for containers: `python -m scripts.containers stores` or `edge DIRECTORY`.

stores: a role and a database in PostgreSQL for each service that uses it, and MongoDB's
replica set.
edge: Envoy's configuration and a development certificate, in the directory.

An error ends the process with one line.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import psycopg2
import pymongo.errors
from environs import Env, validate

from scripts.edge.certificate import ensure_certificate
from scripts.edge.render import render_envoy
from scripts.manifests import read_services
from scripts.paths import DESCRIPTORS
from scripts.stack import stores
from scripts.stack.settings import PERCENT, RATE
from services.common.config import EVERYWHERE, reading_environment

HTTP_PORT, HTTPS_PORT, ADMIN_PORT = 8080, 8443, 9901
CACHE = Path("/var/cache/mamie-rosa")
SECRETS = Path("/run/secrets")
TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.2


class NotReadyError(Exception):
    """A store does not become ready."""


def main() -> int:
    """Run the command of the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts.containers", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("stores").set_defaults(run=prepare_stores)
    edge = commands.add_parser("edge")
    edge.set_defaults(run=prepare_edge)
    edge.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        with reading_environment() as env:
            options.run(env, options)
    except (psycopg2.Error, pymongo.errors.PyMongoError, NotReadyError, OSError) as error:
        print(f"{type(error).__name__}: {str(error).strip()}", file=sys.stderr)
        return 1
    return 0


def prepare_stores(env: Env, _: argparse.Namespace) -> None:
    """Make the databases and the replica set that the services need."""
    names = [service.name for service in read_services() if service.store == "postgres"]
    urls = [(SECRETS / f"{name}-store-url").read_text().strip() for name in names]
    stores.make_databases(env.str("POSTGRES_URL"), urls)
    _form_replica_set(env.str("MONGODB_HOST"))


def _form_replica_set(host: str) -> None:
    """Return when the replica set accepts writes; an election takes seconds."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not stores.form_replica_set(host):
        if time.monotonic() > deadline:
            raise NotReadyError(f"{host} accepts no writes after {TIMEOUT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def prepare_edge(env: Env, options: argparse.Namespace) -> None:
    """Write all files that Envoy reads into a folder that it has under the same path."""
    certificate, private_key = ensure_certificate(options.folder / "tls")
    render_envoy(
        output=options.folder / "envoy.json",
        host=EVERYWHERE,
        http_port=HTTP_PORT,
        https_port=HTTPS_PORT,
        # Published on this machine's loopback alone.
        admin_host=EVERYWHERE,
        admin_port=ADMIN_PORT,
        xds_addresses=env.list("XDS_SERVERS", subcast=_host_and_port),
        rate_limit_per_minute=env.int("RATE_LIMIT_PER_MINUTE", validate=RATE),
        login_rate_limit_per_minute=env.int("LOGIN_RATE_LIMIT_PER_MINUTE", validate=RATE),
        trusted_hops=env.int("TRUSTED_PROXY_HOPS", validate=validate.Range(0, 10)),
        traces_url=env.str("TRACES_URL", ""),
        trace_percent=env.float("TRACE_PERCENT", 1, validate=PERCENT),
        certificate=certificate,
        private_key=private_key,
        descriptor_set=Path(shutil.copy(DESCRIPTORS, options.folder)),
        cache_folder=CACHE,
    )


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    raise SystemExit(main())
