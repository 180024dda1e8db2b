"""An SMTP server that stores every mail in a Maildir and delivers none.

`python -m scripts.stack.mailbox MAILDIR PORT`
"""

import signal
import sys
import threading
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox


def main() -> None:
    """Receive mails until a signal stops the process."""
    folder, port = sys.argv[1:]
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    controller = Controller(Mailbox(Path(folder)), hostname="127.0.0.1", port=int(port))
    controller.start()
    stopping.wait()
    controller.stop()


if __name__ == "__main__":
    main()
