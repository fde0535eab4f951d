"""Every command takes services by name and by folder, and says which there are when one is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_cli.deployment.services import (
    choose_services,
    find_services,
    read_configuration,
    services_of_cloud,
    stack_name,
)
from stream_cli.errors import CommandError
from stream_cli.terminal import options

SERVICES = Path("services")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a hub and a service with requirements, and a service beside it; it is the current folder."""
    for name in ("repository/services/event-hub", "repository/services/control-service", "my-orders"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "serverless.yml").write_text(f"service: {Path(name).name}\n")
    (tmp_path / "repository/services/control-service/requirements.txt").touch()
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path / "repository"


@pytest.mark.parametrize(
    "named", ["control-service", "services/control-service", "services/control-service/", "./services/control-service"]
)
def test_a_service_is_named_by_name_or_by_folder(root: Path, named: str) -> None:
    assert choose_services([named], SERVICES) == [root / "services/control-service"]


def test_a_service_may_be_beside_the_repository(root: Path) -> None:
    assert choose_services(["../my-orders"], SERVICES) == [root.parent / "my-orders"]


def test_a_new_cloud_has_the_hub_beside_the_services_that_are_named(root: Path) -> None:
    assert services_of_cloud(["../my-orders"], SERVICES) == [root / "services/event-hub", root.parent / "my-orders"]
    assert services_of_cloud(["event-hub"], SERVICES) == [root / "services/event-hub"]
    assert services_of_cloud([], SERVICES) == [root / "services/event-hub", root / "services/control-service"]


def test_without_services_of_its_own_a_folder_has_those_and_the_cloud_of_streamctl(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "CHECKOUT", root)
    taken = options._of_the_checkout(options.SERVICES), options._nearest(options.STATE)
    assert taken == (options.SERVICES, options.STATE)  # it has some
    monkeypatch.chdir(root.parent / "my-orders")
    assert options._of_the_checkout(options.SERVICES) == root / "services"
    assert options._nearest(options.STATE) == root / ".streamctl"
    (root.parent / ".streamctl").mkdir()
    (root.parent / ".streamctl/cloud.json").touch()  # a cloud that runs above
    assert options._nearest(options.STATE) == root.parent / ".streamctl"
    assert options._nearest(Path("given")) == Path("given")


def test_a_configuration_that_is_no_yaml_is_an_error_with_its_line(root: Path) -> None:
    service = root / "services/control-service"
    (service / "serverless.yml").write_text("service: control-service\ncustom:\n\ta: 1\n")
    with pytest.raises(CommandError, match=r"serverless\.yml:3 is not YAML: found character"):
        read_configuration(service)
    (service / "serverless.yml").write_bytes(b"service: control-service\n\xff")
    with pytest.raises(CommandError, match=r"serverless\.yml is not UTF-8: "):
        read_configuration(service)


def test_the_current_folder_is_a_service_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "services/control-service")
    assert choose_services(["."], SERVICES) == [root / "services/control-service"]
    assert choose_services([], SERVICES) == [root / "services/control-service"]


def test_without_a_name_all_services_are_chosen_and_the_hub_is_first(root: Path) -> None:
    assert choose_services([], SERVICES) == [root / "services/event-hub", root / "services/control-service"]


def test_the_hub_is_first_in_whatever_order_services_are_named(root: Path) -> None:
    chosen = choose_services(["../my-orders", "control-service", "event-hub", "services/control-service"], SERVICES)
    assert [service.name for service in chosen] == ["event-hub", "control-service", "my-orders"]


@pytest.mark.parametrize("unknown", ["nowhere", "../nowhere", "services"])
def test_an_unknown_service_is_an_error_that_names_the_known_ones(root: Path, unknown: str) -> None:
    with pytest.raises(CommandError, match=f"no service {unknown}.*: event-hub, control-service"):
        choose_services([unknown], SERVICES)


def test_two_services_of_one_name_are_an_error(root: Path) -> None:
    other = root.parent / "control-service"
    other.mkdir()
    (other / "serverless.yml").touch()
    with pytest.raises(CommandError, match="Several services have the name control-service"):
        choose_services(["control-service", "../control-service"], SERVICES)


def test_a_folder_without_services_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no service"):
        find_services(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("serverless.yml", "custom:\n  service: other\nservice: my-orders # mine\n"),
        ("serverless.json", '{\n  "service": "my-orders"\n}'),
        ("serverless.ts", "export default {\n  service: 'my-orders',\n}"),
    ],
)
def test_a_stack_is_named_after_the_service_and_the_stage(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert stack_name(tmp_path, "dev") == "my-orders-dev"
