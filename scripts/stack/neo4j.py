"""A real Neo4j Community for the recommendations graph, from Maven Central's jars.

`python -m scripts.stack.neo4j` fetches the jars, once, into build/neo4j; Maven compares their
checksums. With DATA_DIR it reads the password from MAMIE_BOLT_PASSWORD and runs the server
that DATA_DIR/conf describes. It runs on Java 17 or 21.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import neo4j

from scripts.paths import ROOT
from scripts.stack.credentials import Secrets
from scripts.stack.ports import Ports
from scripts.stack.units import Unit

VERSION = "5.26.30"
CACHE = ROOT / "build" / "neo4j"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mamie-rosa</groupId>
  <artifactId>neo4j</artifactId>
  <version>{VERSION}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.neo4j.app</groupId>
      <artifactId>neo4j-server</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.neo4j</groupId>
      <artifactId>neo4j</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
CONFIGURATION = """\
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.pagecache.size=32m
db.tx_log.preallocate=false
dbms.usage_report.enabled=false
# The default delays each stop by ten seconds.
internal.dbms.bolt.netty_server_shutdown_quiet_period=0
internal.dbms.bolt.netty_server_shutdown_timeout=1
"""
JAVA = ["java", "-Xms64m", "-Xmx256m"] + [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.nio", "java.io", "sun.nio.ch")
]
HELP = """\
Neo4j Community cannot be fetched: {}
It needs Java 17 or 21, Maven (Debian: default-jre-headless and maven), and Maven Central, once.
Or set MAMIE_NEO4J_URL to a running server, or unset MAMIE_NEO4J for the embedded graph."""


class Neo4jMissingError(Exception):
    """Neo4j cannot be fetched or run; the message says what to do."""


def community(folder: Path, ports: Ports, secrets: Secrets) -> tuple[Unit, str]:
    """Return Neo4j Community and its URL; Neo4jMissingError when it cannot be fetched."""
    fetch()
    port, password = ports.take("bolt"), secrets.get("bolt")
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "neo4j.conf").write_text(CONFIGURATION.format(port=port))
    url = f"bolt://neo4j:{quote(password)}@127.0.0.1:{port}/neo4j"
    unit = Unit(
        name="neo4j",
        command=[sys.executable, "-m", "scripts.stack.neo4j", str(folder)],
        environment={"MAMIE_BOLT_PASSWORD": password, "PYTHONPATH": str(ROOT)},
        ready=lambda: answers(url),
    )
    return unit, url


def answers(url: str) -> bool:
    """Return whether a Bolt server answers a query; its port opens earlier."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    with neo4j.GraphDatabase.driver(
        f"{parts.scheme}://{parts.hostname}:{parts.port}",
        auth=(user, password),
        connection_acquisition_timeout=2,
        max_transaction_retry_time=0,
    ) as driver:
        return bool(driver.execute_query("RETURN 1 AS one", database_=parts.path[1:]).records)


def fetch(cache: Path = CACHE) -> None:
    """Fetch the jars that are missing; Neo4jMissingError when that fails."""
    _require_java()
    stamp = cache / "version"
    if stamp.exists() and stamp.read_text() == VERSION:
        return
    print(f"fetching Neo4j Community {VERSION}", file=sys.stderr)
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    (cache / "pom.xml").write_text(POM)
    maven = ["mvn", "-q", "-B", "-C", f"-Dmaven.repo.local={cache / 'm2'}"]
    jars = ["-DincludeScope=runtime", f"-DoutputDirectory={cache / 'lib'}"]
    _output([*maven, "-f", str(cache / "pom.xml"), COPY, *jars])
    shutil.rmtree(cache / "m2")
    stamp.write_text(VERSION)


def _require_java() -> None:
    printed = _output(["java", "-version"])
    version = re.search(r'version "(\d+)', printed)
    if not version or int(version[1]) < 17:
        raise Neo4jMissingError(HELP.format(f"Java is too old ({printed.splitlines()[0]})"))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stdout", "") or getattr(error, "stderr", "") or str(error)
        raise Neo4jMissingError(HELP.format(output.strip().partition("\n")[0])) from error
    return done.stdout + done.stderr


def serve(folder: Path) -> None:
    """Set the password of a new server, and replace this process by the server."""
    os.environ["NEO4J_HOME"] = str(folder)
    java = [*JAVA, "-cp", f"{CACHE / 'lib'}/*"]
    if not (folder / "data" / "dbms" / "auth.ini").exists():
        password = os.environ["MAMIE_BOLT_PASSWORD"]
        tool = ["org.neo4j.cli.AdminTool", "dbms", "set-initial-password", password]
        subprocess.run([*java, *tool], check=True)
    server = ["org.neo4j.server.CommunityEntryPoint", "--console-mode"]
    folders = [f"--home-dir={folder}", f"--config-dir={folder / 'conf'}"]
    os.execvp("java", [*java, *server, *folders])  # noqa: S606


def main() -> None:
    """Run the server of a folder; without one fetch the jars, or print what is missing."""
    if sys.argv[1:]:
        serve(Path(sys.argv[1]))
    try:
        fetch()
    except Neo4jMissingError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
