"""A Bolt server for the recommendations graph: ArcadeDB, embedded in a process of its own.

`python -m scripts.stack.bolt DATA_DIR BOLT_PORT HTTP_PORT` reads the password from
MAMIE_BOLT_PASSWORD and serves the database "shop" until SIGTERM.
"""

import os
import signal
import sys
import threading

import arcadedb_embedded

HEAP = "-Xms64m -Xmx256m"


def main() -> None:
    """Serve until a signal stops the process."""
    folder, bolt_port, http_port = sys.argv[1:]
    os.chdir(folder)  # Java writes its logs to the working directory
    os.environ.setdefault("ARCADEDB_JVM_ARGS", HEAP)
    server = arcadedb_embedded.create_server(
        root_path=folder,
        root_password=os.environ["MAMIE_BOLT_PASSWORD"],
        config={
            "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "bolt_host": "127.0.0.1",
            "bolt_port": int(bolt_port),
            "http_host": "127.0.0.1",
            "http_port": int(http_port),
            "server_defaultDatabases": "shop[root]",
        },
    )
    server.start()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # Java replaced the handlers when it started
        signal.signal(number, lambda *_: stopping.set())
    stopping.wait()
    server.stop()
    os._exit(0)  # Java's threads would keep the process alive


if __name__ == "__main__":
    main()
