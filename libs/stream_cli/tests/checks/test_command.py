"""`streamctl check` on the command line: what it prints, writes and exits with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from stream_cli.checks import command, kept, last_findings, registry
from stream_cli.checks.command import check
from stream_cli.checks.kinds import CHECKS
from stream_cli.checks.reference import as_markdown
from stream_cli.checks.registry import Severity
from stream_cli.checks.service.packaged import Service, read_service
from typer.testing import CliRunner, Result

Run = Callable[..., Result]
WRONG = {
    "Resources": {
        "M": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": "arn:aws:kinesis:us-east-1:1:stream/s",
                "StartingPosition": "AT_TIMESTAMP",
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            },
        }
    }
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder."""
    app = typer.Typer()
    app.command()(check)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A template with one error."""
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(WRONG))
    return file


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A template with a note at most."""
    file = tmp_path / "sound.json"
    sound: dict[str, Any] = json.loads(json.dumps(WRONG))
    sound["Resources"]["M"]["Properties"]["StartingPosition"] = "LATEST"
    file.write_text(json.dumps(sound))
    return file


def test_errors_fail_the_command(run: Run, wrong: Path) -> None:
    assert run("--template", wrong).exit_code == 1


def test_notes_do_not_fail_it(run: Run, sound: Path) -> None:
    assert run("--template", sound).exit_code == 0


def test_the_text_has_code_subject_why_and_fix(run: Run, wrong: Path) -> None:
    said = run("--template", wrong).stdout

    assert [part in said for part in ("shop: 1 error", "error SM101 M:", "why: AWS refuses", "fix: Start at")] == [
        True
    ] * 4


def test_findings_are_printed_as_json(run: Run, wrong: Path) -> None:
    told = json.loads(run("--template", wrong, "--json").stdout)

    assert told["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert [(each["code"], each["severity"], each["resource"]) for each in told["findings"]] == [
        ("SM101", "error", "M")
    ]


def test_a_finding_in_json_has_every_field(run: Run, wrong: Path) -> None:
    (finding,) = json.loads(run("--template", wrong, "--json").stdout)["findings"]

    what, where = {"code", "severity", "title", "message", "why", "fix"}, {"service", "function", "event", "resource"}
    assert set(finding) == what | where | {"file", "line"}


def test_findings_are_written_as_valid_sarif(run: Run, wrong: Path, tmp_path: Path) -> None:
    from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif

    run("--template", wrong, "--sarif", tmp_path / "out.sarif")

    log = Sarif.model_validate_json((tmp_path / "out.sarif").read_text())

    assert [result.ruleId for result in log.runs[0].results or ()] == ["SM101"]


def test_sarif_describes_every_check(run: Run, sound: Path, tmp_path: Path) -> None:
    run("--template", sound, "--sarif", tmp_path / "out.sarif")

    driver = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["tool"]["driver"]

    assert [rule["id"] for rule in driver["rules"]] == [each.code for each in CHECKS]


@pytest.fixture
def located(tmp_path: Path, wrong: Path) -> Path:
    """The folder of a service in a repository, with the same error in a mapping that serverless.yml defines."""
    folder = tmp_path / "services" / "shop"
    folder.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (folder / "serverless.yml").write_text("service: shop\nresources:\n  Resources:\n    M:\n      Type: x\n")
    return folder


def test_sarif_points_at_lines_relative_to_the_repository(run: Run, wrong: Path, located: Path, tmp_path: Path) -> None:
    run(located, "--template", wrong, "--sarif", tmp_path / "out.sarif")

    (result,) = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"]

    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "services/shop/serverless.yml", "uriBaseId": "ROOT"},
        "region": {"startLine": 4},
    }


def test_the_fingerprint_of_a_finding_does_not_move_with_its_line(
    run: Run, wrong: Path, located: Path, tmp_path: Path
) -> None:
    prints = []
    for _ in range(2):
        run(located, "--template", wrong, "--sarif", tmp_path / "out.sarif")
        (result,) = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"]
        prints.append((result["partialFingerprints"], result["locations"][0]["physicalLocation"]["region"]))
        (located / "serverless.yml").write_text("# moved\n" + (located / "serverless.yml").read_text())

    assert (prints[0][0] == prints[1][0], prints[0][1] == prints[1][1]) == (True, False)


def test_the_text_has_the_line(run: Run, wrong: Path, located: Path) -> None:
    assert "services/shop/serverless.yml:4 error SM101" in run(located, "--template", wrong).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "There is no service nowhere."),
        (["--services", "nowhere"], "There is no service (a folder with a serverless.yml)"),
        (["--template", "nothing.json"], "nothing.json cannot be read"),
        (["a", "b", "--template", "x.json"], "name at most one SERVICE"),
        (["--explain", "SM999"], "There is no check SM999"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(arguments: list[str], said: str, run: Run) -> None:
    result = run(*arguments)

    assert (result.exit_code, said in result.stderr) == (2, True)


def test_a_parameter_without_value_is_refused(run: Run, located: Path) -> None:
    result = run(located, "--param", "busName")

    assert (result.exit_code, "is not NAME=VALUE" in result.stderr) == (2, True)


@pytest.mark.packaging
@pytest.mark.thorough
def test_a_failed_packaging_exits_with_2_and_the_error_of_the_cli(run: Run, tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text("service: shop\nprovider:\n  name: aws\n  runtime: cobol\n")

    result = run()

    assert (result.exit_code, "sls package of" in result.stderr, "runtime" in result.stderr) == (2, True, True)


@pytest.mark.packaging
def test_a_crash_of_the_clis_compiler_is_explained(run: Run) -> None:
    result = run(Path(__file__).parents[4] / "tests/fixtures/check-refused/by-a-crash")

    assert (result.exit_code, "TypeError" in result.stderr, "whose arn is an Fn::Sub" in result.stderr) == (
        2,
        True,
        True,
    )


@pytest.mark.packaging
def test_a_service_that_needs_other_stacks_is_packaged_without_them(run: Run, tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text(
        "service: shop\nprovider:\n  name: aws\n  environment:\n    BUS: ${param:busName, cf:hub-dev.busName}\n"
    )

    result = run()

    assert (result.exit_code, "shop: nothing found" in result.stdout) == (0, True)


def test_a_code_is_explained(run: Run) -> None:
    result = run("--explain", "sm201")

    assert (result.exit_code, "Records are given up silently" in result.stdout) == (0, True)


def test_codes_are_unique() -> None:
    assert len({each.code for each in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("code", [CHECKS[0].code, "SM901", "SM1", "XX101"])
def test_a_check_with_a_code_that_is_taken_or_malformed_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=code):
        registry.check(code, Severity.ERROR, title="", why="", fix="")


def test_checks_md_is_the_table() -> None:
    """`python -m stream_cli.checks.reference > libs/stream_cli/CHECKS.md` writes it."""
    assert (Path(__file__).parents[2] / "CHECKS.md").read_text() == as_markdown()


def test_what_is_found_is_kept_for_the_console_with_the_files_as_they_were(
    run: Run, wrong: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, made = tmp_path / "services" / "shop", tmp_path / "kept"
    shop.mkdir(parents=True)
    made.mkdir(mode=0o700)
    (shop / "serverless.yml").write_text("service: shop\n")
    monkeypatch.setattr(kept, "folder_of", lambda _: made)

    def compiled(folders: list[Path], *_: Any) -> tuple[list[Service], dict[str, Any]]:
        (shop / "written_meanwhile.py").touch()  # what was checked is what was there before
        return [read_service(wrong, each) for each in folders], {}

    monkeypatch.setattr(command, "_compiled", compiled)
    assert run(shop).exit_code == 1
    last = last_findings.last(shop, "local")
    assert last is not None
    assert last.is_older
    found = json.loads(run(shop, "--json").stdout)["findings"]
    assert last.findings == found != []
    assert not last_findings.last(shop, "local").is_older  # type: ignore[union-attr]
    assert last_findings.last(shop, "prod") is None
