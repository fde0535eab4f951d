"""What a compiled template is made from is its key: a template of other inputs is never taken."""

import json
import os
import re
import shutil

import pytest
from stream_cli.deployment.serverless import COMPILED_TEMPLATE, package

from tests.templates.stacks import (
    COMPILED,
    FULL,
    LEAST,
    NOT_OF_A_SERVICE,
    ROOT,
    content_key,
    has_code,
    parameters,
)


@pytest.fixture
def service(tmp_path):
    """A folder with a program."""
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "program.sh").write_text("true\n")
    (folder / "program.sh").chmod(0o644)
    return folder


def test_a_file_with_another_content_name_or_mode_has_another_key(service):
    keys = [content_key(service, "dev"), content_key(service, "prod")]
    for change in (
        lambda: (service / "program.sh").chmod(0o755),
        lambda: (service / "program.sh").write_text("false\n"),
        lambda: (service / "program.sh").rename(service / "other.sh"),
    ):
        change()
        keys.append(content_key(service, "dev"))
    assert len(set(keys)) == len(keys)


def test_another_nodejs_has_another_key_and_files_of_tools_do_not_matter(service, tmp_path, monkeypatch):
    before = content_key(service, "dev")
    (service / "__pycache__").mkdir()
    (service / "__pycache__" / "a.pyc").write_text("")
    assert content_key(service, "dev") == before
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\necho v99.0.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{node.parent}{os.pathsep}{os.environ['PATH']}")
    assert content_key(service, "dev") != before


@pytest.mark.parametrize(
    "compiled",
    [
        each if each == (LEAST, FULL) else pytest.param(each, marks=pytest.mark.thorough)
        for each in COMPILED
        if not has_code(*each)
    ],
    ids="-".join,
)
def test_a_service_that_is_compiled_with_others_has_the_template_and_the_files_of_one_compiled_alone(stack, tmp_path):
    copy = tmp_path / stack.service
    shutil.copytree(ROOT / "services" / stack.service, copy, ignore=NOT_OF_A_SERVICE)
    alone = package(copy, stack.stage, parameters(stack.service, stack.stage), tmp_path / "out", with_code=False)

    def told(template):
        return json.loads(re.sub(r"/\d{13}-[\dTZ:.-]+/", "/<time>/", template.read_text()))

    def held(template):
        return {path.name: path.read_bytes() for path in template.parent.glob("*.zip")}

    together = stack.folder / COMPILED_TEMPLATE
    assert told(together) == told(alone)
    assert held(together) == held(alone)
