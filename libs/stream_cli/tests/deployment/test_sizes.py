"""Packages for AWS have a limit; a package for this machine, with this machine's wheels, has none."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from stream_cli.cli import app
from stream_cli.deployment import sizes
from stream_cli.deployment.packaging import Package
from typer.testing import CliRunner, Result

SMALL, LARGE = sizes.LIMIT_BYTES // 2, sizes.LIMIT_BYTES


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Show the sizes of a service's functions, whose packages hold so many bytes."""
    service = tmp_path / "services" / "any"
    service.mkdir(parents=True)
    (service / "serverless.yml").write_text("service: any\n")

    def show(*arguments: str, **contents: int) -> Result:
        def package(_service: Path, stage: str, _params: Mapping[str, str], out: Path, **_: Any) -> Package:
            functions = {}
            for name, size in contents.items():
                with zipfile.ZipFile(out / f"{name}.zip", "w") as archive:
                    archive.writestr("code.py", b"x" * size)
                code = {"S3Bucket": "any", "S3Key": f"any/{name}.zip"}
                properties = {"FunctionName": f"any-{stage}-{name}", "Code": code}
                functions[name] = {"Type": "AWS::Lambda::Function", "Properties": properties}
            template = out / "template.json"
            template.write_text(json.dumps({"Resources": functions}))
            return Package(template, None)

        monkeypatch.setattr(sizes, "package", package)
        return CliRunner().invoke(app, ["sizes", "--services", str(service.parent), *arguments])

    return show


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_package_for_aws_that_is_not_below_the_limit_is_too_large(packaged: Any, stage: str) -> None:
    shown = packaged("--stage", stage, small=SMALL, large=LARGE)

    large, small = shown.output.splitlines()
    assert (shown.exit_code, large.endswith("  too large"), small.endswith(" unzipped")) == (1, True, True)
    assert packaged("--stage", stage, "--json", small=SMALL, large=LARGE).exit_code == 1
    assert packaged("--stage", stage, small=SMALL).exit_code == 0


def test_a_package_with_this_machines_wheels_is_not_compared_with_the_limit(packaged: Any) -> None:
    shown = packaged(large=LARGE)

    assert (shown.exit_code, "too large" in shown.output) == (0, False)
    assert "what is deployed to AWS must be below 3,145,728: see --stage dev." in shown.output
    assert packaged("--json", large=LARGE).exit_code == 0
