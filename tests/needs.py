"""What a test needs beside rxchain: skipped by name where it is missing, failed under CI."""

import os
from importlib.util import find_spec

import pytest

CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
WITHOUT = frozenset(filter(None, os.environ.get("RXCHAIN_WITHOUT", "").split(",")))
"""What the session that runs the tests leaves out on purpose: `notebook`, `checkout`."""


def need(piece: str, *modules: str, there: bool = True) -> None:
    """Skip the test if *piece*, some *modules* or something that is *there*, is missing; under CI fail it.

    A session that leaves the piece out on purpose says so, and the test is skipped there.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if there and not missing:
        return
    what = f"{piece}: {', '.join(missing)} not installed" if missing else f"{piece} is not here"
    if CI and piece not in WITHOUT:
        pytest.fail(f"{what}, and CI is to leave nothing out")
    pytest.skip(what)
