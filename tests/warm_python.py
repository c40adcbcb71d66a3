"""Stands for ``python`` in a shell: has its command run by ``tests/processes.py``, as a fork."""

import contextlib
import json
import os
import signal
import socket
import sys


def main() -> int:
    address, *command = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        request = json.dumps([command or ['-'], os.getcwd(), dict(os.environ)]).encode() + b'\n'
        sent = socket.send_fds(server, [request], [0, 1, 2])
        server.sendall(request[sent:])
        status = int(server.makefile().readline())
    if status < 0:
        with contextlib.suppress(OSError):  # of those that nothing can handle
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == '__main__':
    sys.exit(main())
