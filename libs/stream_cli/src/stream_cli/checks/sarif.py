"""Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines of serverless.yml."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .findings import Finding
from .registry import Check

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(findings: Sequence[Finding], checks: Sequence[Check], root: Path) -> dict[str, Any]:
    """A log with one run: every check that ran is a rule, every finding a result.

    File names are relative to `root`, best the root of the repository.
    """
    numbers = {check.code: number for number, check in enumerate(checks)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "streamctl check",
                        "semanticVersion": version("stream-cli"),
                        "rules": [_rule(check) for check in checks],
                    }
                },
                "originalUriBaseIds": {"ROOT": {"uri": f"{root.resolve().as_uri()}/"}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, numbers[finding.check.code], root) for finding in findings],
            }
        ],
    }


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.code,
        "name": "".join(word.capitalize() for word in check.title.replace("-", " ").split()),
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": check.why},
        "help": {"text": check.fix},
        "defaultConfiguration": {"level": check.severity.value},
    }


def _result(finding: Finding, number: int, root: Path) -> dict[str, Any]:
    subject = "/".join(part for part in (finding.service, finding.function, finding.event) if part)
    location: dict[str, Any] = {
        "logicalLocations": [{"name": finding.resource, "fullyQualifiedName": f"{subject}/{finding.resource}"}]
    }
    if finding.place is not None:
        location["physicalLocation"] = {
            "artifactLocation": _artifact(finding.place.file, root),
            "region": {"startLine": finding.place.line},
        }
    return {
        "ruleId": finding.check.code,
        "ruleIndex": number,
        "level": finding.check.severity.value,
        "message": {"text": f"{subject}: {finding.message}. {finding.check.fix}"},
        "locations": [location],
        # Without the line, so that code hosts recognize a finding whose line has moved.
        "partialFingerprints": {"streamctl/v1": _fingerprint(finding)},
    }


def _artifact(file: Path, root: Path) -> dict[str, str]:
    try:
        return {"uri": file.resolve().relative_to(root.resolve()).as_posix(), "uriBaseId": "ROOT"}
    except ValueError:
        return {"uri": file.resolve().as_uri()}


def _fingerprint(finding: Finding) -> str:
    parts = (finding.check.code, finding.service, finding.resource, finding.message)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
