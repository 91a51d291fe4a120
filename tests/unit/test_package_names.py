"""The four packages have common names: another distribution that ships one would overwrite ours without a word."""

from importlib.metadata import packages_distributions

import pytest


@pytest.mark.parametrize("package", ["twin", "models", "ingest", "api"])
def test_no_other_distribution_owns_our_package(package: str) -> None:
    assert set(packages_distributions().get(package, [])) <= {"h2twin"}
