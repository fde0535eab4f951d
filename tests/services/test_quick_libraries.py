"""What the services have in their packages to be as quick as `npm run bench` says."""

import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "services"
READERS = sorted(
    {path.parents[2].name for path in SERVICES.glob("*/*/handlers/*.py") if "from_kinesis" in path.read_text()}
)


def test_services_with_a_listener_are_found():
    assert READERS == ["control-service", "rest-bff-service"]


@pytest.mark.parametrize("service", READERS)
def test_a_service_that_reads_kinesis_decodes_base64_quickly(service):
    (extras,) = re.findall(r"^stream-runtime\[(.*)\]==", (SERVICES / service / "requirements.txt").read_text(), re.M)
    assert "pybase64" in extras.split(",")
