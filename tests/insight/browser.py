"""A headless Chromium, where one is installed."""

import os
import re
import shutil
import subprocess
from typing import NamedTuple

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')


class Visit(NamedTuple):
    """The page as it became, and what it wrote to the console."""

    dom: str
    console: list[str]


def chromium():
    """Path of the browser; skips the test without one."""
    found = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip('no Chromium: install it (apt-get install chromium), or set CHROMIUM=PATH')
    return found


def visit(page, profile, *options, fragment=''):
    """Open a file and let its scripts run.

    Args:
        page (Path): The file.
        profile (Path): Folder of the browser.
        *options (str): More options of the browser.
        fragment (str): What follows the # of the address.

    Returns:
        Visit: The page.
    """
    command = [
        chromium(),
        '--headless=new',
        # Containers and tests that run as root have no sandbox.
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--enable-logging=stderr',
        '--virtual-time-budget=20000',
        f'--user-data-dir={profile}',
        *options,
        f'{page.absolute().as_uri()}{fragment and "#" + fragment}',
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = re.findall(r'CONSOLE[^\]]*\] (.*)', done.stderr)
    return Visit(done.stdout, console)
