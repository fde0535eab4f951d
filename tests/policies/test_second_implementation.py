"""Generated requests are decided as @cloud-copilot/iam-simulate decides them, a second implementation from npm."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from policy_cases import case
from stream_cli.local.emulator.authorization import decisions, variables

HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".build" / "policies"
CASES = int(os.environ.get("POLICY_CASES", "500"))
RESULTS = {"Allowed": "Allow", "ExplicitlyDenied": "Deny", "ImplicitlyDenied": "ImplicitDeny"}


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The folder of the second implementation, which is installed when its lock file has changed."""
    stamp, wanted = HOME / ".stamp", hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("package.json", "package-lock.json", "simulate.mjs"):
            shutil.copy(HERE / name, HOME)
        if not stamp.exists() or stamp.read_text() != wanted:
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(install, cwd=HOME, check=True, capture_output=True, timeout=600)
            stamp.write_text(wanted)
    return HOME


@pytest.mark.packaging
@pytest.mark.thorough
def test_both_allow_and_deny_the_same(oracle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.core import iam_evaluator

    for name in ("parse_policy_document", "_first_match", "_resolve_condition_key"):
        monkeypatch.setattr(iam_evaluator, name, getattr(iam_evaluator, name))  # as it was, in the end
    decisions.patch()
    variables.patch()
    first = int(os.environ.get("POLICY_SEED", "0"))
    cases = [case(seed) for seed in range(first, first + CASES)]
    given = "\n".join(json.dumps(each.theirs()) for each in cases)
    told = subprocess.run(
        ["node", oracle / "simulate.mjs"], input=given, capture_output=True, text=True, check=True, cwd=oracle
    ).stdout.splitlines()
    theirs = [RESULTS[json.loads(each)["result"]] for each in told]
    ours = [each.ours() for each in cases]

    pairs = zip(cases, theirs, ours, strict=True)
    assert [(each.seed, their, our) for each, their, our in pairs if their != our] == []
    assert min(Counter(theirs).values()) > CASES / 20, "each outcome is tried often"
