"""checkov accepts the compiled templates, except for findings that checkov-skips.yml lists with a reason.

checkov pins the AWS SDK to old versions, so it has its own environment under .build, created from
requirements/checkov.txt when this first runs.
"""

import hashlib
import json
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
SKIPS = yaml.safe_load((HERE / "checkov-skips.yml").read_text())
ROOT = HERE.parents[1]
REQUIREMENTS = ROOT / "requirements" / "checkov.txt"
# It needs little memory: collections of garbage would be a fifth of its time.
PROGRAM = "import gc, sys; gc.disable(); from checkov.main import Checkov; sys.exit(Checkov().run())"


@pytest.fixture(scope="session")
def checkov():
    """The command that starts the program, which is installed again when its requirements change."""
    home, uv = ROOT / ".build" / "checkov", ROOT / ".venv" / "bin" / "uv"
    stamp, wanted = home / ".stamp", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", home], check=True, timeout=120)
        install = [uv, "pip", "install", "--quiet", "--require-hashes", "--requirement", REQUIREMENTS]
        subprocess.run([*install, "--python", home / "bin" / "python"], check=True, timeout=600)
        stamp.write_text(wanted)
    return [home / "bin" / "python", "-c", PROGRAM]


@pytest.fixture(scope="session")
def findings(stacks, checkov, report, tmp_path_factory):
    """Failed checks of all templates in one run: check, type of the resource, its name, by service and stage."""
    options = ["--framework", "cloudformation", "--skip-download", "--compact", "--quiet", "-o", "json"]
    templates = {f"{stack.service}.{stack.stage}.json": stack.template for stack in stacks}

    def ask():
        folder = tmp_path_factory.mktemp("checkov")
        for name, template in templates.items():
            # Tabs are what shows it that this is JSON, which it reads faster than YAML.
            (folder / name).write_text(json.dumps(template, indent="\t"))
        command = [*checkov, "-d", folder, *options]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ran.stdout, ran.stderr
        return json.loads(ran.stdout)

    inputs = {"options": options, "requirements": REQUIREMENTS.read_text(), "templates": templates}
    told = report("checkov", inputs, ask)
    assert told["summary"]["parsing_errors"] == 0
    found = defaultdict(list)
    for each in told["results"]["failed_checks"]:
        service, stage, _ = Path(each["file_path"]).name.rsplit(".", 2)
        type_, name = each["resource"].split(".", 1)
        found[service, stage].append((each["check_id"], type_, f"{name}: {each['check_name']}"))
    return found


def skipped(check, resource_type, stage):
    """Whether the list skips this check for resources of this type in a stage."""
    return any(
        (each["check"], each["resource_type"]) == (check, resource_type) and each.get("except") != stage
        for each in SKIPS
    )


@pytest.mark.thorough
def test_checkov_has_only_listed_findings(stack, findings):
    assert [each for each in findings[stack.service, stack.stage] if not skipped(*each[:2], stack.stage)] == []


@pytest.mark.thorough
def test_every_listed_skip_has_a_reason_and_still_applies(findings):
    seen = {each[:2] for found in findings.values() for each in found}
    assert [each for each in SKIPS if not each["reason"] or (each["check"], each["resource_type"]) not in seen] == []
