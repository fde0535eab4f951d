"""Packaging needs neither network nor account, gives the same bytes twice, and says what is wrong when it fails."""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from stream_cli.serverless import ServerlessError, package

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")
PARAMS = {
    "alarmTopicArn": "arn:alarms",
    "busName": "bus",
    "busArn": "arn:bus",
    "stream1Name": "s1",
    "stream1Arn": "arn:aws:kinesis:x:1:stream/s1",
}


WITH_FUNCTIONS = sorted(path.parent.name for path in (ROOT / "services").glob("*/requirements.txt"))


@pytest.fixture
def copy(request):
    """A copy of a service, of that with the most dependencies unless a test names another.

    It lies below the folder in which the CLI finds its plugin.
    """
    service = getattr(request, "param", "rest-bff-service")
    with tempfile.TemporaryDirectory(prefix="copy-", dir=ROOT / ".build") as folder:
        yield shutil.copytree(ROOT / "services" / service, Path(folder) / service)


def members(folder):
    """Every file of every zip in a folder with its bytes, in the order in which they are stored."""
    return {
        path.name: [(each.filename, each.date_time, zipped.read(each)) for each in zipped.infolist()]
        for path in sorted(folder.glob("*.zip"))
        for zipped in [zipfile.ZipFile(path)]
    }


def has_namespaces():
    """Whether this machine lets us start a program without network."""
    if shutil.which(WITHOUT_NETWORK[0]) is None:
        return False
    return subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="no network namespaces here")
def test_a_service_packages_where_there_is_no_network_and_leaves_the_home_alone(copy, tmp_path):
    program = (
        "import sys; from pathlib import Path; from stream_cli.serverless import package;"
        f"print(package(Path({str(copy)!r}), 'prod', {PARAMS!r}, Path({str(tmp_path / 'out')!r})))"
    )
    home = tmp_path / "home"
    home.mkdir()
    ran = subprocess.run(
        [*WITHOUT_NETWORK, sys.executable, "-c", program],
        env={"HOME": str(home), "PATH": str(Path(shutil.which("node")).parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()).is_file()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("copy", WITH_FUNCTIONS, indirect=True)
def test_packaging_twice_gives_the_same_bytes(copy, tmp_path):
    for name in ("one", "two"):
        package(copy, "prod", PARAMS, tmp_path / name)
    first, second = (members(tmp_path / name) for name in ("one", "two"))
    assert first
    assert first == second
    assert [path.read_bytes() for path in sorted((tmp_path / "one").glob("*.zip"))] == [
        path.read_bytes() for path in sorted((tmp_path / "two").glob("*.zip"))
    ]


def test_a_dependency_that_set_up_did_not_fetch_is_named_with_what_pip_said(copy, tmp_path):
    (copy / "requirements.txt").write_text("stream-runtime==0.1.0\nnot-in-the-lock==1.0\n")
    with pytest.raises(ServerlessError, match="not-in-the-lock"):
        package(copy, "dev", PARAMS, tmp_path / "out")


def test_a_mistake_in_serverless_yml_is_shown_as_the_cli_words_it(copy, tmp_path):
    settings = copy / "serverless.yml"
    settings.write_text(settings.read_text().replace("batchSize:", "batchSizes:"))
    with pytest.raises(ServerlessError, match="batchSizes"):
        package(copy, "dev", PARAMS, tmp_path / "out")


def test_the_size_of_each_function_is_reported():
    ran = subprocess.run(
        [sys.executable, "-m", "stream_cli.sizes", "event-fault-monitor", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (size,) = json.loads(ran.stdout)
    assert (size["service"], size["function"]) == ("event-fault-monitor", "event-fault-monitor-prod-trigger")
    assert 100_000 < size["zipped"] < size["unzipped"]
