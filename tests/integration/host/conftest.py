"""One host for most tests of this directory; those that harm it bring their own."""

import pytest

from tests.integration.host.running import Host


@pytest.fixture(scope="module")
def host():
    host = Host().start()
    yield host
    host.close()


@pytest.fixture
def own_host():
    host = Host().start()
    yield host
    host.close()
