"""The README's code runs, and what the README and CONTRIBUTING name is there."""

import json
import re
from pathlib import Path

import pytest
import record_start

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_an_example_is_a_handler_that_answers_for_a_batch(code):
    namespace = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["handler"]({"Records": []}, None) == {"batchItemFailures": []}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_npm_script_that_is_named_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    scripts = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["scripts"]
    named = set(re.findall(r"npm (start|test)\b", text)) | set(re.findall(r"npm run (?:--silent )?([a-z:]+)", text))
    assert {"test"} <= named <= set(scripts)


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/migration.md", "libs/stream_runtime/README.md"]
)
def test_every_file_that_is_linked_exists(name):
    path = ROOT / name
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [each for each in linked if not (path.parent / each).exists()] == []


def test_every_folder_that_the_readme_lists_exists():
    listed = re.findall(r"^\| `([^`]+)` \|", README.partition("## What is where")[2], re.MULTILINE)
    assert listed
    assert [path for path in listed if not (ROOT / path).exists()] == []


def test_every_path_that_contributing_names_exists():
    named = re.findall(r"`((?:docs|libs|requirements|scripts)/[\w/.]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_run_of_npm_start_is_as_its_script_writes_it_without_paths_and_token():
    told = record_start.shown(f"Console: http://h/#token=abc\neval {ROOT}/.venv --state /tmp/x/.streamctl\n", "/tmp/x")
    assert told == "Console: http://h/#token=...\neval .../.venv --state .../.streamctl\n"
    begin, end = README.index(record_start.BEGIN), README.index(record_start.END)
    transcript = README[begin + len(record_start.BEGIN) : end]
    assert record_start.LAST in transcript.splitlines()[-1]
    assert record_start.shown(transcript, "/tmp/") == transcript
    assert record_start.with_transcript(README, transcript) == README
    assert record_start.with_transcript(README, "another\n").count("another\n") == 1
