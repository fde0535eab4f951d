"""Services packaged in one place, to be deployed from another: templates, zip files, an SBOM of each function.

A workflow packages in a job that has no right to the account, and deploys from a job that has it. The digest, which
takes another way than the packages, says that what is deployed is what was packaged.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_cli.deployment import serverless
from stream_cli.deployment.sbom import sbom_of
from stream_cli.deployment.services import HUB, choose_services
from stream_cli.errors import CommandError
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import SERVICES, Names, Params, Services, Stage, params_of
from stream_cli.terminal.output import say

MANIFEST = "packages.json"
_INSTALLED = "requirements"
_ACCOUNT = re.compile(r"\d{12}")
_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
# The types whose physical names a template says: the property with the name, and the service and kind in an ARN.
_NAMED = {
    "AWS::S3::Bucket": ("BucketName", "s3", ""),
    "AWS::Events::EventBus": ("Name", "events", "event-bus/"),
    "AWS::Kinesis::Stream": ("Name", "kinesis", "stream/"),
    "AWS::SNS::Topic": ("TopicName", "sns", ""),
}


def package_services(
    services: Sequence[Path], stage: str, account: str, region: str, params: Mapping[str, str], out: Path
) -> str:
    """Package services into a folder, for an account and a region; returns the digest of it all.

    What services take from the hub's stack is reckoned from its template, where its names are.

    Raises:
        CommandError: the folder holds something else, or a service does not package.
    """
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise CommandError(f"{out} holds something else than packages: name another folder with --out.")
    shutil.rmtree(out, ignore_errors=True)
    given = dict(params)
    for service in services:
        template = serverless.package(service, stage, given, out / service.name, region=region)
        if (installed := template.parent / _INSTALLED).exists():
            shutil.rmtree(installed)  # it is in the zip files
        compiled = json.loads(template.read_text(encoding="utf-8"))
        for function, path in functions_in(compiled, template.parent).items():
            sbom = path.with_name(f"{function}.cdx.json")
            sbom.write_text(f"{sbom_of(path, function)}\n", encoding="utf-8")
        if service.name == HUB:
            given = {**outputs_of(compiled, account, region), **given}
    content = {"account": account, "region": region, "stage": stage, "files": _digests(out)}
    manifest = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (out / MANIFEST).write_text(manifest, encoding="utf-8")
    return _digest(manifest.encode())


def check_packages(folder: Path, stage: str, account: str, region: str, digest: str | None) -> None:
    """Check that packages are those that were made, all of them, and for this stage, account and region.

    Args:
        digest: what `package_services` returned, or None where packages need not be compared with it.

    Raises:
        CommandError: they are not.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise CommandError(f"{folder} holds no packages. Make them with `streamctl package --out {folder}`.")
    written = manifest.read_bytes()
    if digest is not None and _digest(written) != digest:
        raise CommandError(f"{folder} does not hold the packages with the digest {digest}. Nothing was deployed.")
    content = json.loads(written)
    made_for = {name: content[name] for name in ("stage", "account", "region")}
    if made_for != {"stage": stage, "account": account, "region": region}:
        raise CommandError(
            f"The packages in {folder} were made for stage {content['stage']}, account {content['account']}, "
            f"{content['region']}; this is stage {stage}, account {account}, {region}. Nothing was deployed."
        )
    found = _digests(folder)
    found.pop(MANIFEST)
    changed = sorted(
        name for name in found.keys() | content["files"].keys() if found.get(name) != content["files"].get(name)
    )
    if changed:
        raise CommandError(f"Changed since it was packaged: {', '.join(changed)} in {folder}. Nothing was deployed.")


def functions_in(template: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """The zip file of each function of a compiled template, by the function's name."""
    return {
        str(resource["Properties"]["FunctionName"]): folder / Path(str(resource["Properties"]["Code"]["S3Key"])).name
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    }


def outputs_of(template: Mapping[str, Any], account: str, region: str) -> dict[str, str]:
    """Those outputs of a stack that its template tells before the stack is there: names and ARNs of named resources."""
    partition = next((value for name, value in _PARTITIONS.items() if region.startswith(f"{name}-")), "aws")
    found = {}
    for output, declared in template.get("Outputs", {}).items():
        match declared["Value"]:
            case {"Ref": str(name)}:
                attribute = ""
            case {"Fn::GetAtt": [str(name), "Arn"]}:
                attribute = "Arn"
            case _:
                continue
        resource = template["Resources"].get(name, {})
        if resource.get("Type") not in _NAMED:
            continue
        key, service, kind = _NAMED[resource["Type"]]
        physical = resource["Properties"].get(key)
        if isinstance(physical, dict) and isinstance(physical.get("Fn::Sub"), str):
            physical = physical["Fn::Sub"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)
        if not isinstance(physical, str) or "${" in physical:
            continue
        is_arn = attribute == "Arn" or service == "sns"  # a topic's Ref is its ARN
        place = "::" if service == "s3" else f"{region}:{account}:"
        arn = f"arn:{partition}:{service}:{place}{kind}{physical}"
        found[output] = arn if is_arn else physical
    return found


def _digests(folder: Path) -> dict[str, str]:
    """The digest of each file below a folder. What is no file is a change, too."""
    return {
        str(path.relative_to(folder)): "a symbolic link" if path.is_symlink() else _digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def package(
    names: Names = None,
    *,
    stage: Stage,
    account: Annotated[str, typer.Option("--account", help="Number of the account that they will be deployed to.")],
    region: Annotated[
        str, typer.Option("--region", envvar="AWS_REGION", help="Region that they will be deployed to.")
    ] = "us-east-1",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the packages.")],
    digest_to: Annotated[
        Path | None, typer.Option("--digest-to", metavar="FILE", help="Add a line digest=... to this file.")
    ] = None,
    param: Params = None,
    services: Services = SERVICES,
) -> None:
    """Package services for `deploy --packages`, with an SBOM (CycloneDX) of each function. It needs no account.

    The digest that it prints is for `deploy --digest`.
    """
    if not _ACCOUNT.fullmatch(account):
        raise typer.BadParameter(f"{account!r} is not an account: twelve digits", param_hint="--account")

    def run() -> int:
        from stream_cli.deployment.cold_starts import compiles_at_start

        chosen = choose_services(names or [], services)
        digest = package_services(chosen, stage, account, region, params_of(param), out)
        if digest_to is not None:
            with digest_to.open("a", encoding="utf-8") as file:
                file.write(f"digest={digest}\n")
        say(f"Packages for {stage} in account {account}, {region}, are in {out}.", f"digest={digest}")
        for line in sorted({line for each in chosen if (line := compiles_at_start(out / each.name))}):
            say(line)
        return 0

    run_command(run)
