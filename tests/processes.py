"""Processes that begin with the package imported, instead of spending five seconds on it.

A server (``multiprocessing``'s forkserver) imports ``tests/preloaded.py`` once
per pytest worker; a process is a fork of it. It shares no state with the test
that starts it, and is killed, timed out and reaped as any other. What it does
not show is how an interpreter starts: a test of the import, of what it
prints, or of a variable that is read at that time (OMP_NUM_THREADS) starts
``sys.executable``.
"""

import functools
import json
import multiprocessing
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy
import pytest

__all__ = ['forkserver_context', 'run_script', 'start_afresh', 'warm_python']

ROOT = Path(__file__).resolve().parents[1]
CLIENT = Path(__file__).with_name('warm_python.py')


@functools.cache
def forkserver_context() -> multiprocessing.context.BaseContext:
    """Context whose processes begin with ``tests/preloaded.py`` imported."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.preloaded'])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        # A fork has no threads but the one that forks; nor a driver that was initialised before.
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.setenv('PYTORCH_NVML_BASED_CUDA_CHECK', '1')
        forkserver.ensure_running()
    return context


def start_afresh(environment: Mapping[str, str]) -> None:
    """Gives a fork what a new interpreter has of its own."""
    os.environ.clear()
    os.environ.update(environment)
    # The server's would else be that of the fork's own workers.
    multiprocessing.set_start_method(None, force=True)
    # The only generator that forks share: `random` and torch's begin as in any process.
    numpy.random.seed()


def run_script(
    script: str | Path,
    *arguments: object,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess:
    """``subprocess.run([sys.executable, script, ...], capture_output=True, text=True)``, warm.

    Raises:
        subprocess.TimeoutExpired: After ``timeout`` seconds; the process is killed.
    """
    command = [str(script), *map(str, arguments)]
    environment, folder = dict(os.environ if env is None else env), os.fspath(cwd or os.getcwd())
    with tempfile.TemporaryDirectory() as tmp:
        files = [open(f'{tmp}/{name}', 'w+b') for name in ('stdout', 'stderr')]
        with open(os.devnull, 'rb') as stdin, files[0], files[1]:
            process = _start(command, folder, environment, [stdin, *files])
            process.join(timeout)
            late = process.exitcode is None
            _end(process)
            output = [Path(file.name).read_text() for file in files]
    if late:
        raise subprocess.TimeoutExpired(command, timeout, *output)
    return subprocess.CompletedProcess(command, process.exitcode, *output)


@contextmanager
def warm_python(folder: Path) -> Iterator[Path]:
    """A folder for PATH, whose ``python`` runs its command in a fork of the server."""
    folder.mkdir()
    address = f'{folder}/socket'
    client = shlex.join([sys.executable, '-I', '-S', str(CLIENT), address])
    (folder / 'python').write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    (folder / 'python').chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        forkserver_context()
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        try:
            yield folder
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client,), daemon=True).start()


def _serve(client: socket.socket) -> None:
    """Runs a client's command on its files; ends it when the client ends."""
    with client:
        text, fds, _, _ = socket.recv_fds(client, 1 << 16, 3)
        while not text.endswith(b'\n'):
            text += client.recv(1 << 16)
        request = json.loads(text)
        files = [os.fdopen(fd, 'rb' if fd == fds[0] else 'wb', 0) for fd in fds]
        process = _start(*request, files)
        for file in files:
            file.close()
        wait([process.sentinel, client])
        _end(process)
        with suppress(BrokenPipeError):
            client.sendall(f'{process.exitcode}\n'.encode())


def _start(command, folder, environment, files):
    # Connections are what can be sent to a fork as open files.
    ends = [Connection(os.dup(file.fileno())) for file in files]
    arguments = (command, folder, environment, _path(environment.get('PYTHONPATH', '')), ends)
    process = forkserver_context().Process(target=_run, args=arguments)
    process.start()
    for end in ends:
        end.close()
    return process


def _end(process) -> None:
    if process.is_alive():
        process.kill()
    process.join()


@functools.cache
def _path(pythonpath: str) -> list[str]:
    """What a new interpreter looks for modules in, after the folder of its script."""
    return json.loads(
        subprocess.run(
            [sys.executable, '-c', 'import json, sys; print(json.dumps(sys.path[1:]))'],
            env={**os.environ, 'PYTHONPATH': pythonpath},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )


def _run(command, folder, environment, path, ends) -> None:
    """In the fork: the command as the interpreter would run it."""
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    start_afresh(environment)
    unbuffered = bool(environment.get('PYTHONUNBUFFERED'))
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, 'w', 1 if unbuffered else -1, closefd=False)
    sys.stderr = sys.__stderr__ = open(2, 'w', 1, closefd=False)
    os.chdir(folder)
    code = _status(command, path)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    raise SystemExit(code)


def _status(command, path) -> int:
    try:
        _execute(command, path)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _execute(command, path) -> None:
    first, *arguments = command
    if first in ('-', '-c'):
        text = sys.stdin.read() if first == '-' else arguments.pop(0)
        main = types.ModuleType('__main__')
        sys.modules['__main__'] = main
        sys.path[:] = ['', *path]
        sys.argv[:] = [first, *arguments]
        exec(compile(text, '<stdin>' if first == '-' else '<string>', 'exec'), vars(main))
    elif first == '-m':
        module, *arguments = arguments
        sys.path[:] = [os.getcwd(), *path]
        sys.argv[:] = [module, *arguments]
        runpy.run_module(module, run_name='__main__', alter_sys=True)
    else:
        if first.startswith('-'):
            raise SystemExit(f'tests/processes.py does not know the flag {first} of python')
        sys.path[:] = [os.path.dirname(os.path.abspath(first)), *path]
        sys.argv[:] = command
        runpy.run_path(first, run_name='__main__')
