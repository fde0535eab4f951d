"""In the templates, `item` is DynamoDB's word: what they are about has one that means nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "services"
TEMPLATES = sorted(path.parent.name for path in SERVICES.glob("*/package.json"))
# Names of AWS's APIs, of partial-batch responses, and of Python's own.
OF_OTHERS = re.compile(
    r"""(Transact|Batch|Get|Put|Update|Delete|Write)+(Get|Write)?Items?\b|(?i:batch_?item_?failures)|itemIdentifier
    |\d\ items?\ after\ validation
    |(transact_(get|write)|batch_(get|write)|get|put|update|delete)_items?\b|\.items\(|"Items?"|\bItem=|\bitems\(\)""",
    re.VERBOSE,
)
ITEM = re.compile(r"(?<![A-Za-z])items?(?![a-z])|Items?(?![a-z])|(?<![A-Za-z])ITEMS?(?![A-Za-z])")


def texts(service: str) -> dict[str, str]:
    own = []
    for folder, folders, names in os.walk(SERVICES / service):
        # Of tools, which another test may be running.
        folders[:] = [each for each in folders if each not in ("node_modules", ".serverless")]
        own += [Path(folder, name) for name in names if name.endswith((".py", ".yml", ".json", ".md", ".js"))]
    return {str(path.relative_to(SERVICES)): path.read_text(encoding="utf-8") for path in own}


@pytest.mark.parametrize("service", TEMPLATES)
def test_item_is_nobodys_word_but_that_of_others(service: str) -> None:
    lines = [f"{name}: {line}" for name, text in texts(service).items() for line in [name, *text.splitlines()]]

    assert [line for line in lines if ITEM.search(OF_OTHERS.sub("", line))] == []


@pytest.mark.parametrize("service", TEMPLATES)
def test_each_service_is_a_template_of_new(service: str) -> None:
    said = json.loads((SERVICES / service / "package.json").read_text(encoding="utf-8"))["streamctl"]

    assert said["template"]
    assert not (package := said.get("package")) or (SERVICES / service / package / "__init__.py").is_file()
