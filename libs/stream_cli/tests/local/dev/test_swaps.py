"""What is saved runs a moment later; what cannot run is shown with its place, and what runs stays."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

LOGIC = "shop/logic.py"


def logic(answer: int) -> str:
    return f"ANSWER = {answer}\ndef answer(event): return ANSWER\n"


def test_a_change_of_code_runs_without_the_cli_and_deploy_finds_nothing_to_do(dev: Any) -> None:
    assert dev.answer() == [1, "hello", 1]
    starts = dev.starts_of_the_cli()
    for number in (2, 3):
        dev.save(LOGIC, logic(number))
        assert "job, listener" in dev.until(r"✓ shop/logic.py after \d")
        assert dev.answer() == [number, "hello", 1]
        assert dev.answer("job") == number
    assert dev.starts_of_the_cli() == starts


def test_new_and_deleted_files_are_changes_of_code(dev: Any) -> None:
    starts = dev.starts_of_the_cli()
    dev.save("shop/prices.py", "PRICE = 7\n")
    dev.until("✓ shop/prices.py after")
    dev.save(LOGIC, "from shop.prices import PRICE\ndef answer(event): return PRICE\n")
    dev.until("✓ shop/logic.py after")
    assert dev.answer("job") == 7
    (dev.service / "shop/prices.py").unlink()
    dev.until("✗ .*logic.py:1")
    assert "prices" in dev.until("ModuleNotFoundError")
    assert dev.answer("job") == 7
    dev.save(LOGIC, logic(8))
    dev.until("✓ shop/logic.py, shop/prices.py after")
    assert dev.answer("job") == 8
    assert dev.starts_of_the_cli() == starts


def test_a_syntax_error_is_shown_with_its_line_and_the_running_code_stays_until_it_is_mended(dev: Any) -> None:
    dev.save(LOGIC, "ANSWER = 2\ndef answer(event: return ANSWER\n")
    assert dev.until("✗ ").endswith("logic.py:2")
    dev.until("SyntaxError")
    dev.until("> def answer")
    dev.until("The running code stays")
    assert dev.answer("job") == 1
    dev.save(LOGIC, logic(2))
    dev.until("✓ shop/logic.py after")
    assert dev.answer("job") == 2


def test_what_is_taken_back_is_said_to_be_what_runs(dev: Any) -> None:
    dev.save(LOGIC, "def")
    dev.until("The running code stays")
    dev.save(LOGIC, logic(1))
    dev.until("is what runs")


def test_an_error_at_import_is_shown_with_its_line_and_the_functions_that_have_it(dev: Any) -> None:
    dev.save("shop/handlers/job.py", "import os\n\nTABLE = os.environ['NO_TABLE']\ndef handler(event, context): pass\n")
    assert dev.until("✗ ").endswith("job.py:3 (job)")
    dev.until("KeyError: 'NO_TABLE'")
    assert dev.answer("job") == 1
    dev.save("shop/handlers/job.py", "def handle(event, context): pass\n")
    dev.until("shop/handlers/job has no handler")


def test_several_files_at_once_are_one_swap(dev: Any) -> None:
    (dev.service / "shop/prices.py").write_text("PRICE = 5\n")
    (dev.service / LOGIC).write_text("from shop.prices import PRICE\ndef answer(event): return PRICE\n")
    (dev.service / "shop/handlers/job.py").write_text(
        "from shop.logic import answer\nhandler = lambda e, c: -answer(e)\n"
    )
    dev.until("✓ shop/handlers/job.py, shop/logic.py, shop/prices.py after")
    assert dev.answer("job") == -5


def test_the_last_of_many_saves_wins(dev: Any) -> None:
    for number in range(2, 40):
        dev.save(LOGIC, logic(number))
    deadline = 40
    while dev.answer("job") != 39 and deadline:
        dev.until("✓ shop/logic.py after")
        deadline -= 1
    assert dev.answer("job") == 39


def test_files_of_editors_and_documents_change_nothing(dev: Any) -> None:
    starts = dev.starts_of_the_cli()
    for name in (".logic.py.swp", "logic.py~", "4913", "#logic.py#"):
        (dev.service / "shop" / name).write_text("def")
    (dev.service / "shop/.#logic.py").symlink_to("nobody@nowhere")
    dev.save("README.md", "Another shop.\n")
    dev.save("requirements-dev.txt", "pytest\n")
    dev.save(LOGIC, logic(2))
    dev.until("✓ shop/logic.py after")
    assert [each for each in dev.said if "✗" in each or "deploy" in each] == []
    assert dev.starts_of_the_cli() == starts


def test_a_change_of_the_template_is_deployed(dev: Any) -> None:
    template = dev.service / "serverless.yml"
    dev.save("serverless.yml", template.read_text().replace("hello", "good day"))
    dev.until("serverless.yml: deploying ")
    dev.until("✓ sls deploy")
    dev.save(LOGIC, logic(2))
    dev.until("✓ shop/logic.py after")
    assert dev.answer() == [2, "good day", 1]


def test_a_template_that_is_refused_says_why_and_the_next_save_is_tried(dev: Any) -> None:
    template = dev.service / "serverless.yml"
    good = template.read_text()
    dev.save("serverless.yml", f"{good}# fails\n")
    dev.until("✗ .* is not deployed")
    dev.until("the template is refused")
    dev.save("serverless.yml", f"{good}# mended\n")
    dev.until("✓ sls deploy")


def test_a_template_that_is_no_yaml_has_its_line_and_the_session_goes_on(dev: Any) -> None:
    template = dev.service / "serverless.yml"
    good = template.read_text()
    dev.save("serverless.yml", f"{good}bad: [\n")
    assert f"serverless.yml:{len(good.splitlines()) + 2} is not YAML: " in dev.until("✗ ")
    dev.until("The running code stays")
    dev.save("serverless.yml", good)
    dev.until("is what runs")


def test_a_folder_that_goes_and_comes_back_as_another_one_is_followed(dev: Any, tmp_path: Path) -> None:
    shutil.copytree(dev.service, tmp_path / "kept")
    shutil.rmtree(dev.service)
    assert dev.until("✗ ").endswith(f"{dev.service.name} has no serverless.yml")
    dev.until("The running code stays")
    shutil.copytree(tmp_path / "kept", dev.service)
    dev.until("is what runs")
    dev.save(LOGIC, logic(2))
    dev.until("✓ shop/logic.py after")
    assert dev.answer("job") == 2


def test_what_the_template_includes_from_elsewhere_is_watched(dev: Any) -> None:
    (dev.service.parent / "shared.yml").write_text("a: 1\n")
    dev.until(r"\.\./shared.yml: deploying ")
    dev.until("✓ sls deploy")


def test_requirements_are_packaged_and_new_code_can_use_them_at_once(dev: Any) -> None:
    dev.save("requirements.txt", "VERSION = 2\nRATE = 3\n")
    dev.until("requirements.txt: deploying ")
    dev.until("✓ sls deploy")
    dev.save(LOGIC, "from library import RATE\ndef answer(event): return RATE\n")
    dev.until("✓ shop/logic.py after")
    assert dev.answer() == [3, "hello", 2]


def test_functions_that_cannot_start_after_a_deployment_are_shown(dev: Any) -> None:
    dev.save("requirements.txt", "raise ImportError('for another platform')\n")
    dev.until("✓ sls deploy")
    dev.until("listener.py:1 .listener.")
    dev.until("It is deployed, and these functions cannot start")


def test_log_lines_come_with_paths_of_the_service(dev: Any) -> None:
    dev.save("shop/handlers/job.py", "def handler(event, context):\n    print('at work')\n    return event['no']\n")
    dev.until("✓ shop/handlers/job.py after")
    dev.answer("job")
    dev.until("job +at work")
    assert "KeyError: 'no'" in dev.until("job +ERROR")
    assert f'{dev.service.name}/shop/handlers/job.py", line 3' in dev.until("File ")


def test_ctrl_c_leaves_the_cloud_and_says_how_it_ends(make_dev: Any, cloud: Any) -> None:
    others = set(cloud.state.temporary.glob("dev-*"))
    dev = make_dev()
    dev.save(LOGIC, logic(2))
    dev.until("✓ shop/logic.py after")
    assert dev.stop() == 128 + signal.SIGINT
    assert f"streamctl down --state {cloud.state.root}" in dev.until("The cloud goes on")
    assert dev.answer("job") == 2
    assert set(cloud.state.temporary.glob("dev-*")) == others


def test_the_tests_that_a_change_touches_are_run_and_what_they_find_is_shown(make_dev: Any) -> None:
    dev = make_dev("--test")
    touched = {
        "tests/test_other.py": ("def test_other(): assert 1\n", "tests/test_other.py"),
        "tests/sample.json": ("{}", "tests/test_logic.py, tests/test_other.py"),
    }
    for name, (content, runs) in touched.items():
        dev.save(name, content)
        assert "passed" in dev.until(f"✓ {runs}: ")
    dev.save(LOGIC, logic(0))
    assert "1 failed" in dev.until("✗ tests/test_logic.py: ")
    dev.until("assert 0")
    assert dev.answer("job") == 0


def test_a_function_waits_for_a_debugger_also_after_a_change(make_dev: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dev = make_dev("--debug", "job", "--debug-port", str(port))
    dev.until(f"job waits for a debugger at 127.0.0.1:{port}")
    listens(port)
    dev.save(LOGIC, logic(2))
    dev.until("✓ shop/logic.py after")
    assert dev.answer("listener") == [2, "hello", 1]
    listens(port)
    dev.stop()
    assert dev.answer("job") == 2


def listens(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < deadline, "nothing waits for a debugger"
        time.sleep(0.05)


def test_a_function_that_there_is_not_cannot_be_debugged(make_dev: Any) -> None:
    dev = make_dev("--debug", "unknown")
    assert "There are shop" in dev.until("--debug unknown: which function is that")
    assert dev.process.wait(30) == 1
