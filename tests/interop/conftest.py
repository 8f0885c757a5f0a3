from collections.abc import Iterator

import pytest

from tests.support.nginx import Nginx, nginx


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A real nginx-rtmp for the tests of one file."""
    with nginx(tmp_path_factory.mktemp("nginx")) as server:
        yield server
