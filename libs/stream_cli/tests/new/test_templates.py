"""`streamctl new` copies a template with the words of another entity, or leaves nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from stream_cli.cli import app
from stream_cli.errors import CommandError
from stream_cli.new.templates import copy_of, find_template, template_in, write
from stream_cli.new.words import entity_of
from typer.testing import CliRunner, Result

SERVICES = Path(__file__).resolve().parents[4] / "services"
OLD_WORDS = re.compile(r"(?<![A-Za-z])(story|stories)(?![a-z])|Stor(y|ies)(?![a-z])|(?<![A-Z])STOR(Y|IES)(?![A-Z])")


def new(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["new", *map(str, arguments), "--services", str(SERVICES)])


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


# Each form of a word in the template with the most files; in the other, one that takes another plural.
@pytest.mark.parametrize(
    ("template", "one", "several"),
    [
        pytest.param(template, one, several, marks=marks)
        for one, several, in_control in [
            ("order", "orders", pytest.mark.thorough),
            ("category", None, ()),
            ("person", "people", pytest.mark.thorough),
            ("lineItem", None, pytest.mark.thorough),
        ]
        for template, marks in (("bff", ()), ("control", in_control))
    ],
)
def test_nothing_of_the_old_entity_is_left(tmp_path: Path, template: str, one: str, several: str | None) -> None:
    entity = entity_of(one, several)

    made = new(template, tmp_path / "my-service", "--entity", one, *(["--plural", several] if several else []))

    assert made.exit_code == 0, made.stderr
    assert made.stdout.splitlines()[-1].endswith("streamctl dev " + os.path.relpath(tmp_path / "my-service"))
    copied = texts(tmp_path / "my-service")
    left = [f"{name}: {match[0]}" for name, text in copied.items() for match in OLD_WORDS.finditer(f"{name}\n{text}")]
    assert left == []
    assert f"my_service/logic/{entity.several.in_style('snake')}.py" in copied or template == "bff"
    assert f"{entity.one.in_style('kebab')}-ready" in copied["serverless.yml"]
    own = {"entity": entity.one.in_style("snake"), "plural": entity.several.in_style("snake")}
    assert json.loads(copied["package.json"])["streamctl"].items() >= own.items()


def test_routes_rows_events_topics_classes_and_fixtures_have_the_new_word(tmp_path: Path) -> None:
    assert new("bff", tmp_path / "shop", "--entity", "line_item").exit_code == 0

    copied = texts(tmp_path / "shop")
    configuration = copied["serverless.yml"]
    assert {"service: shop", "      - httpApi: POST /line-items", "    handler: shop/handlers/rest.handler"} <= set(
        configuration.splitlines()
    )
    assert "S: [line-item]" in configuration
    assert "LineItemTopic:" in copied["resources/topics.yml"]
    assert "class LineItemContent(BaseModel):" in copied["shop/models/line_items.py"]
    assert "line_items.create(line_item_id, body.stored(), _caller())" in copied["shop/handlers/rest.py"]
    assert json.loads(copied["tests/fixtures/trigger-line-item-created.expected.json"])["publishes"] == [
        "line-item-submitted"
    ]
    assert copied["README.md"].startswith("# shop\n\nAn HTTP API for line items.")


@pytest.mark.parametrize("template", ["hub", "lake", "fault-monitor"])
def test_a_template_of_any_events_gets_its_own_name(tmp_path: Path, template: str) -> None:
    made = new(template, tmp_path / "my-own", "--entity", "order")

    assert made.exit_code == 0, made.stderr
    assert "This template is about events of any kind: it has no entity to rename." in made.stdout
    source = find_template(template, SERVICES)
    copied = texts(tmp_path / "my-own")
    assert "service: my-own\n" in copied["serverless.yml"]
    inside = [name for name, text in copied.items() if re.search(rf"(?<!services/)(?<!my-){source.service}", text)]
    assert inside == ["README.md"] * ("README.md" in inside)
    assert not source.package or {"my_own/__init__.py"} <= copied.keys()


def test_a_copy_is_a_template_itself(tmp_path: Path) -> None:
    assert new("control", tmp_path / "orders-control", "--entity", "order").exit_code == 0

    made = new(tmp_path / "orders-control", tmp_path / "claims-control", "--entity", "claim")

    assert made.exit_code == 0, made.stderr
    direct = copy_of(find_template("control", SERVICES), "claims-control", entity_of("claim", None))
    copied = texts(tmp_path / "claims-control")
    assert copied.keys() == direct.files.keys()
    assert copied["claims_control/rules/trigger.py"] == direct.files["claims_control/rules/trigger.py"][1]


def test_the_service_keeps_the_entity_in_its_own_name(tmp_path: Path) -> None:
    assert new("control", tmp_path / "story-archive", "--entity", "order").exit_code == 0

    copied = texts(tmp_path / "story-archive")
    assert "service: story-archive\n" in copied["serverless.yml"]
    assert "story_archive/logic/orders.py" in copied


@pytest.mark.parametrize(
    ("template", "taken"),
    [
        pytest.param(template, taken, marks=() if taken == shown else pytest.mark.thorough)
        for template, shown in {"control": "event", "bff": "item"}.items()
        for taken in ("item", "event", "table", "status", "record")
    ],
)
def test_a_word_that_the_template_uses_is_refused_with_its_place(tmp_path: Path, template: str, taken: str) -> None:
    made = new(template, tmp_path / "mine", "--entity", taken)

    assert made.exit_code == 1
    assert re.match(
        rf"The template {template} uses the word for something else: '\w+' in [\w/.-]+:\d+[.;] ", made.stderr
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nothing", "PATH"],
            "There is no template nothing. The templates are: bff, control, fault-monitor, hub, lake.",
        ),
        (["control", "PATH", "--name", "My Orders"], "'My Orders' cannot be the name of a service"),
        (["control", "PATH", "--name", "o" * 33], "cannot be the name of a service: at most 32"),
        (["control", "PATH", "--name", "json"], "The package json would hide the Python module of that name."),
        (["control", "PATH", "--name", "boto3"], "The package boto3 would hide the Python module of that name."),
        (["control", "PATH", "--plural", "orders"], "--plural is of --entity"),
        (["control", "PATH", "--entity", "class"], "--entity class: that is a word of Python"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_is_there(tmp_path: Path, arguments: list[str], message: str) -> None:
    made = new(*[each.replace("PATH", str(tmp_path / "mine")) for each in arguments])

    assert (made.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert message in made.stderr


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/own.txt").write_text("own")

    made = new("control", tmp_path / "mine")

    assert (made.exit_code, texts(tmp_path)) == (1, {"mine/own.txt": "own"})
    assert "mine is there already; name a folder that is not, or an empty one." in made.stderr


@pytest.mark.parametrize("there", ["a file", "a link"])
def test_neither_a_file_nor_a_link_is_replaced(tmp_path: Path, there: str) -> None:
    if there == "a file":
        (tmp_path / "mine").write_text("own")
    else:
        (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")

    assert new("control", tmp_path / "mine").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_folder_that_it_goes_into_has_to_be_there(tmp_path: Path) -> None:
    made = new("control", tmp_path / "nowhere" / "mine")

    assert (made.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert f"There is no folder {tmp_path / 'nowhere'} for mine; make it first." in made.stderr


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    assert new("control", tmp_path / "mine").exit_code == 0
    assert "serverless.yml" in texts(tmp_path / "mine")


class Interrupted(dict[str, Any]):
    """Files, of which the third is not written any more."""

    def items(self) -> Iterator[Any]:  # type: ignore[override]
        for number, each in enumerate(super().items()):
            if number == 2:
                raise KeyboardInterrupt
            yield each


def test_when_it_is_interrupted_nothing_is_left(tmp_path: Path) -> None:
    copy = copy_of(find_template("control", SERVICES), "mine", None)
    copy.files.update(Interrupted(copy.files))
    object.__setattr__(copy, "files", Interrupted(copy.files))

    with pytest.raises(KeyboardInterrupt):
        write(copy, tmp_path / "mine")

    assert list(tmp_path.iterdir()) == []


def made_template(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    content = {"name": "shelf", "streamctl": {"template": "shelf", "package": "shelf", "entity": "book"}}
    usual = {"serverless.yml": "service: shelf\n", "package.json": json.dumps(content), ".gitignore": "made/\n*.log\n"}
    for name, text in {**usual, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_what_tools_have_made_is_not_copied_and_other_files_are_as_they_were(tmp_path: Path) -> None:
    source = made_template(
        tmp_path / "shelf",
        {
            "made/x.txt": "", "own.log": "", "node_modules/a/b.js": "", ".git/config": "", ".pytest_cache/v": "",
            "shelf/__pycache__/a.pyc": b"", "logo.png": b"\x89PNG\xff book", "shelf/a.py": "book = 1\r\n",
            "run.sh": "#!/bin/sh\n",
        },
    )  # fmt: skip
    (source / "run.sh").chmod(0o755)
    template = template_in(source)
    assert template

    write(copy_of(template, "pile", entity_of("paper", None)), tmp_path / "pile")

    made = {str(path.relative_to(tmp_path / "pile")) for path in (tmp_path / "pile").rglob("*") if path.is_file()}
    assert made == {"serverless.yml", "package.json", ".gitignore", "logo.png", "pile/a.py", "run.sh"}
    assert (tmp_path / "pile/logo.png").read_bytes() == b"\x89PNG\xff book"
    assert (tmp_path / "pile/pile/a.py").read_bytes() == b"paper = 1\r\n"
    assert (tmp_path / "pile/run.sh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("source", "clashes"),
    [
        ("def f(book, paper): ...", True),
        ('{"book": 1, "paper": 2}', True),
        ("def f(book): ...\n# the paper", False),
        ('def f(book):\n    """Paper, and paper."""', False),
        ('print("paper is patient", book)', False),
    ],
)
def test_only_words_with_a_meaning_for_programs_clash(tmp_path: Path, source: str, clashes: bool) -> None:
    template = template_in(made_template(tmp_path / "shelf", {"shelf/a.py": source}))
    assert template

    if clashes:
        with pytest.raises(CommandError, match=r"'paper' in shelf/a\.py:1"):
            copy_of(template, "pile", entity_of("paper", None))
    else:
        copy_of(template, "pile", entity_of("paper", None))


def test_names_of_different_files_do_not_clash_but_keys_do(tmp_path: Path) -> None:
    files = {"shelf/a.py": "def f(book): ...", "shelf/b.py": "def f(paper): ...", "shelf/c.py": 'K = "book"'}
    template = template_in(made_template(tmp_path / "shelf", files))
    assert template
    copy_of(template, "pile", entity_of("paper", None))

    (tmp_path / "shelf/shelf/d.py").write_text('K = "paper"')
    with pytest.raises(CommandError, match=r"'paper' in shelf/d\.py:1\. Choose another"):
        copy_of(template, "pile", entity_of("paper", None))
