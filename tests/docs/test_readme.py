"""The README's code runs, and what it names is there."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_an_example_is_a_handler_that_answers_for_a_batch(code):
    namespace = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["handler"]({"Records": []}, None) == {"batchItemFailures": []}


def test_every_npm_script_that_is_named_exists():
    scripts = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["scripts"]
    named = set(re.findall(r"npm (start|test)\b", README)) | set(re.findall(r"npm run (?:--silent )?([a-z:]+)", README))
    assert {"start", "test"} <= named <= set(scripts)


def test_every_folder_and_file_that_is_linked_or_listed_exists():
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    listed = re.findall(r"^\| `([^`]+)` \|", README.partition("## What is where")[2], re.MULTILINE)
    missing = [path for path in [*linked, *listed] if not (ROOT / path).exists()]
    assert linked
    assert listed
    assert missing == []
