"""What was packaged before is used again only if nothing that it was made from has changed."""

import concurrent.futures
import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from stream_cli.deployment import inputs, kept, serverless
from stream_cli.deployment.changed_code import CannotReplace, with_changed_files
from stream_cli.deployment.kept import KeptPackages
from stream_cli.deployment.packaging import package
from stream_cli.deployment.serverless import ServerlessError, Toolchain, find_toolchain

ROOT = Path(__file__).resolve().parents[4]
# Stand for Node.js and the Serverless CLI, which counts its starts and puts a file of the service into what it makes. A
# shell runs so short a script in a twentieth of the time.
NODE = """#!/bin/sh
required=
while [ "$1" = --require ]; do required="$required${2##*/} "; shift 2; done
echo "$required" >> "${0%/*}/../required"
exec sh "$@"
"""
CLI = """
root=${0%/*}/../../..
echo "$*" >> "$root/starts"
if [ -e fails ]; then exit 1; fi
if [ -e changes-while-packaged ]; then echo 'late = True' > code.py; fi
while [ "$1" != --package ]; do shift; done
out=$2
mkdir -p "$out/requirements"
printf 'in the zip files' > "$out/requirements/large.py"
cat code.py > "$out/function.zip"
printf '{"Resources": {}}' > "$out/cloudformation-template-update-stack.json"
"""
CONFIGURATION = "service: mine\nplugins:\n  - serverless-python-requirements\n  - ./plugin.js\n"


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A root with a toolchain; what it has installed is looked at anew in each test."""
    cli = tmp_path / "node_modules/osls/bin/serverless.js"
    cli.parent.mkdir(parents=True)
    cli.write_text(CLI)
    (tmp_path / ".build/wheels").mkdir(parents=True)
    (tmp_path / ".build/wheels/stream_runtime-1-py3-none-any.whl").write_text("1")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("MY_SETTING", "1")
    node = tmp_path / "bin/node"
    node.parent.mkdir()
    node.write_text(NODE)
    node.chmod(0o755)
    return Toolchain(tmp_path, str(node))


@pytest.fixture
def service(tools):
    """The folder of a service."""
    folder = tools.root / "services/mine"
    folder.mkdir(parents=True)
    (folder / "serverless.yml").write_text(CONFIGURATION)
    (folder / "plugin.js").write_text("module.exports = class {};\n")
    (folder / "code.py").write_text("a = 1\n")
    (folder / "requirements.txt").write_text("stream-runtime\n")
    return folder


@pytest.fixture
def made(tools, service, tmp_path):
    """Packages the service and gives the package; what npm has installed is looked at each time."""

    def make(stage="dev", params=None, region="us-east-1", **options):
        inputs._installed.cache_clear()
        out = tmp_path / f"out-{time.monotonic_ns()}"
        return package(service, stage, params or {}, out, region=region, toolchain=tools, **options)

    return make


@pytest.fixture
def starts(tools):
    """Counts the starts of the CLI."""
    file = tools.root / "starts"
    return lambda: len(file.read_text().splitlines()) if file.exists() else 0


def test_the_second_time_the_cli_is_not_started_and_the_files_are_the_same(made, starts):
    first, second = made(), made()
    assert starts() == 1
    for name in ("cloudformation-template-update-stack.json", "function.zip"):
        assert second.template.with_name(name).read_bytes() == first.template.with_name(name).read_bytes()
    assert not second.template.with_name("requirements").exists()


def test_it_says_when_the_package_was_made(made):
    before = datetime.now(UTC).replace(microsecond=0)
    assert made().since is None
    since = made().since
    assert since is not None
    assert before <= since <= datetime.now(UTC)


def test_fresh_packages_anew_and_what_it_makes_is_used_from_then_on(made, starts, tools):
    made()
    assert made(fresh=True).since is None
    assert starts() == 2
    assert made().since is not None
    assert starts() == 2


def test_pip_runs_anew_only_where_all_is_made_anew(made, tools):
    made()
    made(fresh=True)
    made("local")
    made("local", fresh=True)
    made(with_code=False)
    assert (tools.root / "required").read_text().splitlines() == [
        "compiled.cjs installs.cjs bytecode.cjs ",
        "compiled.cjs bytecode.cjs ",
        "compiled.cjs installs.cjs ",
        "compiled.cjs ",
        "compile_only.cjs compiled.cjs ",
    ]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("services/mine/code.py", "a = 2\n"),
        ("services/mine/new.py", ""),
        ("services/mine/.env", "SECRET=1\n"),
        ("services/mine/compiled.pyc", "1"),
        ("services/mine/requirements.txt", "stream-runtime\norjson\n"),
        ("services/mine/node_modules/plugin/index.js", ""),
        ("node_modules/osls/bin/serverless.js", f"{CLI}# another version\n"),
        ("node_modules/serverless-python-requirements/index.js", ""),
        (".build/wheels/stream_runtime-1-py3-none-any.whl", "2"),
        (".build/wheels/orjson-3-py3-none-any.whl", ""),
        (".venv/pyvenv.cfg", "version = 3.14.9\n"),
        (".venv/lib/python3.14/site-packages/pip-99.dist-info/METADATA", ""),
    ],
)
def test_a_file_that_is_new_or_changed_is_packaged(made, starts, tools, path, content):
    made()
    file = tools.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    assert made().since is None
    assert starts() == 2


def test_a_deleted_file_is_seen(made, starts, service):
    (service / "old.py").touch()
    made()
    (service / "old.py").unlink()
    made()
    assert starts() == 2


def test_a_file_that_was_changed_back_needs_no_packaging(made, starts, service):
    made()
    (service / "code.py").write_text("a = 2\n")
    made()
    (service / "code.py").write_text("a = 1\n")
    assert made().template.with_name("function.zip").read_text() == "a = 1\n"
    assert starts() == 2


@pytest.mark.parametrize(
    "other", [{"stage": "prod"}, {"params": {"busName": "b"}}, {"region": "eu-west-1"}, {"with_code": False}]
)
def test_another_stage_param_region_or_kind_is_packaged_for_itself(made, starts, other):
    made()
    made(**other)
    assert starts() == 2
    made()
    made(**other)
    assert starts() == 2


def test_a_changed_variable_of_the_environment_is_seen(made, starts, monkeypatch):
    made()
    monkeypatch.setenv("MY_SETTING", "2")
    made()
    assert starts() == 2


@pytest.mark.parametrize(("name", "value"), [("TERM", "vt100"), ("npm_lifecycle_event", "check"), ("PWD", "/x")])
def test_the_terminal_and_npm_make_no_difference(made, starts, monkeypatch, name, value):
    made()
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"/elsewhere/node_modules/.bin{os.pathsep}{os.environ['PATH']}")
    made()
    assert starts() == 1


def test_our_own_code_is_part_of_the_key(made, starts, monkeypatch):
    made()
    monkeypatch.setattr(inputs, "_own_code", lambda: "another version")
    made()
    assert starts() == 2


def test_a_service_elsewhere_has_a_package_of_its_own(made, starts, service, tools, tmp_path):
    made()
    shutil.copytree(service, tmp_path / "copy")
    package(tmp_path / "copy", "dev", {}, tmp_path / "out-of-copy", toolchain=tools)
    assert starts() == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("serverless.yml", "custom: ${file(../shared.yml)}\n"),
        ("serverless.yml", "custom: ${file(~/shared.yml)}\n"),
        ("serverless.yml", "custom: ${file(${env:CONFIG})}\n"),
        ("serverless.yml", f"custom: ${{file({Path(__file__)})}}\n"),
        ("serverless.yml", "custom: ${ssm:/shared/key}\n"),
        ("serverless.yml", "custom: ${s3:bucket/key}\n"),
        ("serverless.yml", "custom: ${self:custom.keys.${sls:stage}, ssm:/shared/key}\n"),
        ("serverless.yml", "custom: ${sls:instanceId}\n"),
        ("serverless.yml", "plugins:\n  - serverless-plugin-of-somebody\n"),
        ("serverless.yml", "plugins: ${file(plugins.yml)}\n"),
        ("requirements.txt", "-e ../library\n"),
        ("requirements.txt", "library @ file:///srv/library\n"),
        ("requirements.txt", "library @ git+https://127.0.0.1/library\n"),
        ("requirements.txt", "-f http://127.0.0.1/wheels\n"),
        ("plugin.js", "require('../shared.js');\n"),
        ("plugin.js", "require(require('path').join(__dirname, '..', 'shared.js'));\n"),
        ("plugin.js", "module.exports = { id: crypto.randomUUID() };\n"),
        ("plugin.js", "module.exports = { at: new Date() };\n"),
        ("plugin.js", "require('node:https').get(url);\n"),
        ("plugin.js", "require('child_process').execSync('git describe');\n"),
        ("serverless.ts", ""),
    ],
)
def test_a_service_that_reads_what_no_key_holds_is_packaged_each_time(made, starts, service, name, content):
    if name == "serverless.yml":
        content = f"service: mine\n{content}"
    if name == "serverless.ts":
        (service / "serverless.yml").unlink()
    (service / name).write_text(content)
    made()
    made()
    assert starts() == 2


def test_a_folder_that_is_a_symbolic_link_is_packaged_each_time(made, starts, service, tmp_path):
    (tmp_path / "shared").mkdir()
    (service / "shared").symlink_to(tmp_path / "shared")
    made()
    made()
    assert starts() == 2


@pytest.mark.parametrize("at", ["node_modules", "services/mine/node_modules"])
def test_a_plugin_that_npm_link_has_linked_is_packaged_each_time(made, starts, tools, service, tmp_path, at):
    (tmp_path / "mine").mkdir()
    (tools.root / at).mkdir(exist_ok=True)
    (tools.root / at / "serverless-python-requirements").symlink_to(tmp_path / "mine")
    made()
    made()
    assert starts() == 2


def test_links_within_what_npm_has_installed_do_not_matter(made, starts, tools, service):
    (tools.root / "node_modules/linked").symlink_to("osls")
    made()
    made()
    assert starts() == 1


def test_a_file_that_cannot_be_read_is_no_error(made, starts, service, monkeypatch):
    read = Path.read_bytes

    def gone(path):
        if path.name == "4913":
            raise FileNotFoundError(path)
        return read(path)

    (service / "4913").touch()
    monkeypatch.setattr(Path, "read_bytes", gone)
    made()
    made()
    assert starts() == 2


def test_a_linked_file_counts_with_its_content(made, starts, service, tmp_path):
    (tmp_path / "shared.py").write_text("1")
    (service / "shared.py").symlink_to(tmp_path / "shared.py")
    made()
    made()
    assert starts() == 1
    (tmp_path / "shared.py").write_text("2")
    made()
    assert starts() == 2


def test_a_package_during_which_the_service_changed_is_not_kept(made, starts, service):
    (service / "changes-while-packaged").touch()
    made()
    assert made().template.with_name("function.zip").read_text() == "late = True\n"
    assert starts() == 2


def test_a_failure_is_not_kept(made, starts, service):
    (service / "fails").touch()
    for _ in range(2):
        with pytest.raises(ServerlessError):
            made()
    assert starts() == 2


@pytest.mark.parametrize("damage", ["changed", "removed", "manifest", "list", "hard link", "symbolic link"])
def test_a_damaged_entry_is_made_anew(made, starts, tools, damage):
    made()
    (zipped,) = (tools.root / ".build/packages").glob("*/function.zip")
    match damage:
        case "changed":
            zipped.write_text("a = 3\n")
        case "removed":
            zipped.unlink()
        case "manifest":
            zipped.with_name("kept.json").write_text("{")
        case "list":
            zipped.with_name("kept.json").write_text("[]")
        case "hard link":  # as of a copy of the repository, made with cp -al
            (tools.root / "other-name").hardlink_to(zipped.with_name("kept.json"))
        case "symbolic link":
            zipped.with_name("kept.json").rename(tools.root / "elsewhere.json")
            zipped.with_name("kept.json").symlink_to(tools.root / "elsewhere.json")
    assert made().template.with_name("function.zip").read_text() == "a = 1\n"
    assert made().since is not None
    assert starts() == 2


def test_what_is_kept_is_its_owners_alone(made, tools):
    made()
    paths = [tools.root / ".build/packages", *(tools.root / ".build/packages").rglob("*")]
    assert len(paths) > 3
    assert {path.stat().st_mode & 0o077 for path in paths} == {0}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_where_nothing_can_be_written_the_package_is_used_and_that_is_said(made, starts, monkeypatch, capsys, number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(kept.tempfile, "mkdtemp", refused)
    assert made().template.with_name("function.zip").read_text() == "a = 1\n"
    assert f"could not be kept for the next time: [Errno {number}]" in capsys.readouterr().err
    monkeypatch.undo()
    made()
    monkeypatch.setattr(os, "utime", refused)
    assert made().since is not None


def test_where_others_can_replace_what_is_kept_nothing_is_kept(made, starts, tools):
    tools.root.chmod(0o777)
    made()
    made()
    assert starts() == 2
    assert list((tools.root / ".build/packages").iterdir()) == []


def test_two_at_once_package_once(made, starts, monkeypatch):
    entered = threading.Semaphore(0)
    alone_in, keep = serverless.alone_in, KeptPackages.keep

    @contextlib.contextmanager
    def telling(*arguments):
        with alone_in(*arguments):
            entered.release()
            yield

    def kept_alone(*arguments, **options):
        assert entered.acquire(timeout=30)
        assert not entered.acquire(timeout=0.2), "the folder is free before the package is kept"
        return keep(*arguments, **options)

    monkeypatch.setattr(serverless, "alone_in", telling)
    monkeypatch.setattr(KeptPackages, "keep", kept_alone)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        packages = list(pool.map(lambda _: made(), range(2)))
    assert starts() == 1
    assert {each.template.with_name("function.zip").read_text() for each in packages} == {"a = 1\n"}


def test_a_process_that_is_killed_while_it_keeps_leaves_no_entry(tmp_path):
    folder, source = tmp_path / "kept", tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    (source / "b").write_text("b")
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, pathlib, signal, sys\n"
            "from stream_cli.deployment.kept import KeptPackages\n"
            "pathlib.Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "KeptPackages(pathlib.Path(sys.argv[1])).keep('key', pathlib.Path(sys.argv[2]))\n",
            str(folder),
            str(source),
        ],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    packages = KeptPackages(folder)
    assert packages.take("key", tmp_path / "out") is None
    (left,) = folder.iterdir()
    os.utime(left, (0, 0))
    packages.keep("key", source)
    assert [each.name for each in folder.iterdir()] == ["key"]


def test_what_was_used_longest_ago_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MAX_ENTRIES", 2)
    packages = KeptPackages(tmp_path / "kept")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_text("a")
    for number, key in enumerate(("first", "second")):
        packages.keep(key, tmp_path / "source")
        os.utime(tmp_path / "kept" / key, (number, number))
    assert packages.take("first", tmp_path / "out") is not None
    packages.keep("third", tmp_path / "source")
    assert {each.name for each in (tmp_path / "kept").iterdir()} == {"first", "third"}


def test_all_that_is_kept_stays_within_a_number_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MAX_BYTES", 3000)
    packages = KeptPackages(tmp_path / "kept")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_bytes(bytes(2000))
    for key in ("first", "second"):
        packages.keep(key, tmp_path / "source")
        os.utime(tmp_path / "kept" / key, (0, 0))
    assert len(list((tmp_path / "kept").iterdir())) == 1


@pytest.fixture(scope="module")
def installs(tmp_path_factory):
    """Where the real CLI keeps what pip has installed, at first nothing."""
    return tmp_path_factory.mktemp("installs")


@pytest.fixture(scope="module")
def package_proof(tmp_path_factory, installs):
    """Packages a copy of a service with the real CLI, after a change of files where some are given."""

    def kept_installs(tools, there=serverless.kept_installs):
        return {"KEPT_INSTALLS": json.dumps([*json.loads(there(tools)["KEPT_INSTALLS"])[:-1], str(installs)])}

    def make(*, with_code=True, change=()):
        service, out = tmp_path_factory.mktemp("proof") / "proof-service", tmp_path_factory.mktemp("out")
        shutil.copytree(ROOT / "tests/fixtures/proof-service", service)
        for name in change:
            (service / name).write_text((service / name).read_text() + "\nCHANGED = 'since it was packaged'\n")
        params = {"busName": "b", "stream1Arn": "arn:aws:kinesis:us-east-1:123456789012:stream/s1"}
        tools = find_toolchain(ROOT)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(serverless, "kept_installs", kept_installs)
            made = package(service, "local", params, out, with_code=with_code, toolchain=tools)
        return service, made.template

    return make


@pytest.fixture(scope="module")
def proof(package_proof):
    """The service as it is, packaged once: its folder and its template."""
    return package_proof()


@pytest.mark.packaging
def test_a_template_without_code_is_that_of_the_package_but_for_the_hash_of_the_code(proof, package_proof):
    def resources(template):
        return {
            name.partition("LambdaVersion")[0]: {**each, "Properties": _without_code(each.get("Properties", {}))}
            for name, each in json.loads(template.read_text())["Resources"].items()
        }

    (_, with_code), (_, without_code) = proof, package_proof(with_code=False)

    assert resources(without_code) == resources(with_code)


def _without_code(properties):
    return {name: value for name, value in properties.items() if name not in ("Code", "CodeSha256")}


@pytest.mark.packaging
def test_a_zip_file_with_changed_code_has_the_bytes_that_packaging_makes(proof, package_proof, installs):
    """And so has one with what pip has installed before."""
    names = ["proof/handlers.py", "proof/rules.py"]
    (entry,) = [each for each in installs.iterdir() if not each.name.startswith(".")]
    os.utime(entry, (0, 0))
    (service, template), (changed_service, changed) = proof, package_proof(change=names)
    assert entry.stat().st_mtime > 0, "it was not used"
    assert [each for each in installs.iterdir() if not each.name.startswith(".")] == [entry]
    (zipped,) = template.parent.glob("*.zip")
    before, after = ({name: (each / name).read_bytes() for name in names} for each in (service, changed_service))
    node = find_toolchain(ROOT).node
    assert with_changed_files(zipped.read_bytes(), before, after, node) == (changed.parent / zipped.name).read_bytes()


def test_a_zip_file_that_was_made_in_another_way_is_refused(tmp_path):
    node = find_toolchain(ROOT).node
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("a.py", "a = 1")
    content = (tmp_path / "a.zip").read_bytes()
    with pytest.raises(CannotReplace, match=r"a\.py is compressed in another way"):
        with_changed_files(content, {"a.py": b"a = 1"}, {"a.py": b"a = 2"}, node)
    with pytest.raises(CannotReplace, match=r"does not hold b\.py"):
        with_changed_files(content, {"b.py": b""}, {"b.py": b"a = 2"}, node)
