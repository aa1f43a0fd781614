"""One lab and one daemon for all clients; the clients run on a node of the lab, as an application would."""
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "lib"))
from labsession import LabSession  # noqa: E402  (the path comes first)


@pytest.fixture(scope="session")
def lab():
    build = pathlib.Path(os.environ["SIGNALBOX_BIN"]).parent
    with LabSession(build, ROOT / "out" / "conformance", "conformance") as session:
        session.up()
        session.serve()
        yield session


@pytest.fixture
def run_client(lab):
    """Runs a command on the node 'client' and returns what it printed."""

    def run(*command: str, timeout: float = 60) -> str:
        return lab.run(*lab.on_node("client", *command), timeout=timeout)

    return run
