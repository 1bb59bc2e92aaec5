"""One installation with running workers for all tests that harm nobody; those that do make their own."""

from collections.abc import Callable, Iterator

import pytest

from tests.installation import Installation


@pytest.fixture(scope="session")
def shared(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """Two workers, a control worker and the schedule, on a database of their own: each test uses its own table."""
    installation = new_installation()
    with installation.processes(workers=2):
        yield installation
