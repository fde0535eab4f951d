"""A user's copies of the five services, made as their READMEs show: each stands alone, and together they are a system.

Those that `sls create` makes are the services under another name. Those that `streamctl new` makes are about line items
instead of stories; their tests run, and they are deployed.

The copies lie outside the repository and have other names. Their tests run with the wheel of the runtime, the packages
that requirements-dev.txt asks for, and two plugins of pytest: by one, botocore reads its files once; the other chooses
the tests that show what a copy needs, since all of them pass in the repository (THOROUGH=1 runs all).
`npm install` is the one line of the READMEs that is not run, since it needs a registry: the CLI and the plugin of the
repository are linked beside the copies instead, in the versions that the copies' package.json asks for.

`--template-url` is asked of `https://github.com/OWNER/REPOSITORY/tree/main/services/...` over real TLS. What answers is
this test, behind a proxy on loopback, with a certificate that the CLI is told to trust, and redirects as GitHub does.
Not tested: GitHub's own archives, and the other hosts that the CLI knows.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import filecmp
import http.server
import io
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from stream_cli.cli import app
from stream_cli.deployment import serverless
from typer.testing import CliRunner

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/serverless.yml"))
PLUGINS = ROOT / "tests" / "plugins"
# One with an API and functions, and one with a single small function. The others are made in the same way, and are
# copied with THOROUGH=1, or where a test that is marked so asks for them.
CHOSEN = SERVICES if "THOROUGH" in os.environ else ["event-lake-s3", "rest-bff-service"]
HUB = "event-hub"
CLI = json.loads((ROOT / "package.json").read_text())["devDependencies"]["osls"]
MADE_BY_TOOLS = {
    "__pycache__",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".serverless",
    ".venv",
    "node_modules",
}
HOSTS = ("github.com", "codeload.github.com")
FROM_THE_HUB = serverless.parameters(
    {
        "busName": "bus",
        "busArn": "arn:aws:events:us-east-1:123456789012:event-bus/bus",
        "stream1Arn": "arn:aws:kinesis:us-east-1:123456789012:stream/s1",
        "claimsBucketName": "claims",
        "alarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
    }
)
ISSUER = serverless.parameters({"jwtIssuer": "https://login.my-company.example/", "jwtAudience": "stories"})
AT_ONCE = 2
ARRIVES_WITHIN_S = 60.0


def shown(service: str, option: str) -> list[str]:
    """The CLI's arguments in the line of a README that makes a copy."""
    readme = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
    ((version, line),) = re.findall(rf"^npx osls@(\S+) (create --template-{option} .*)$", readme, re.MULTILINE)
    assert version == CLI
    return shlex.split(line)


def files(folder: Path) -> set[str]:
    """Every file of a copy but what tools have left."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in paths if not MADE_BY_TOOLS & set(path.parts)}


def sls(words: list[str], folder: Path, **variables: str) -> str:
    """Run the CLI in a folder; gives what it printed."""
    tools = serverless.find_toolchain(ROOT)
    ran = subprocess.run(
        # Packages that copies share with the services are installed once.
        serverless.command(tools, *words, installs=words[0] == "deploy"),
        cwd=folder,
        env={**serverless.environment(tools), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, f"sls {' '.join(words)} in {folder}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout + ran.stderr


class Copies(dict[str, Path]):
    """The copy of each service from its template path, outside the repository, made when it is asked for first."""

    def __init__(self, folder: Path) -> None:
        assert ROOT not in folder.resolve().parents
        (folder / "node_modules").symlink_to(ROOT / "node_modules")
        self._folder = folder

    def __missing__(self, service: str) -> Path:
        words = shown(service, "path")
        words[words.index(f"services/{service}")] = str(ROOT / "services" / service)
        sls(words, self._folder)
        made = self[service] = self._folder / f"my-{service}"
        for left in MADE_BY_TOOLS:
            for path in made.rglob(left):
                shutil.rmtree(path)
        return made


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """The copies of the chosen services; others when they are asked for."""
    made = Copies(tmp_path_factory.mktemp("copies"))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(made.__getitem__, CHOSEN))
    return made


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `streamctl new` makes of each service, outside the repository, with an entity of two words."""
    folder = tmp_path_factory.mktemp("renamed")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    for service in SERVICES:
        words = ["new", service, str(folder / f"my-{service}"), "--entity", "line_item", "--plural", "line_items"]
        made = CliRunner().invoke(app, [*words, "--services", str(ROOT / "services")])
        assert made.exit_code == 0, made.output
    return {service: folder / f"my-{service}" for service in SERVICES}


@pytest.fixture(scope="module")
def packages(renamed: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the copies' requirements.txt name, installed by pip as the READMEs show, from a folder of wheels."""
    folder = tmp_path_factory.mktemp("packages")
    tools = serverless.find_toolchain(ROOT)
    named = {(copy / "requirements.txt") for copy in renamed.values() if (copy / "requirements.txt").exists()}
    subprocess.run(
        [
            *(tools.python_with_pip, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder),
            *(word for path in sorted(named) for word in ("-r", path)),
        ],
        env={**os.environ, **serverless.packaging_environment(tools)},
        check=True,
        timeout=300,
    )
    return folder


def test_a_copy_has_its_own_name_and_does_not_mention_the_repository(copies: Copies) -> None:
    for service, copy in copies.items():
        assert re.search(rf"^service: my-{service}$", (copy / "serverless.yml").read_text(), re.MULTILINE)
        assert json.loads((copy / "package.json").read_text())["name"] == f"my-{service}"
        for name in files(copy):
            assert str(ROOT) not in (copy / name).read_text(encoding="utf-8"), name


def test_no_file_of_a_service_points_out_of_its_folder() -> None:
    for service in SERVICES:
        for name in known_files(service) - {"README.md"}:
            text = (ROOT / "services" / service / name).read_text(encoding="utf-8")
            assert "../" not in text, f"{name} of {service}"


def test_a_service_requires_the_cli_that_its_copy_is_tested_with(copies: Copies) -> None:
    locked = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    for folder in (*(ROOT / "services" / service for service in SERVICES), *copies.values()):
        asked = json.loads((folder / "package.json").read_text())["devDependencies"]
        assert asked.items() <= locked.items()
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in asked.values())
        plugins = re.findall(r"^  - (serverless-[\w-]+)$", (folder / "serverless.yml").read_text(), re.MULTILINE)
        assert set(asked) == {"osls", *plugins}


def test_the_readme_names_the_current_version_of_the_runtime() -> None:
    version = tomllib.loads((ROOT / "libs/stream_runtime/pyproject.toml").read_text())["project"]["version"]
    for service in SERVICES:
        folder = ROOT / "services" / service
        if (folder / "requirements.txt").exists():
            asked = (folder / "requirements.txt").read_text()
            assert re.search(rf"^stream-runtime(\[[a-z0-9,]+\])?=={re.escape(version)}$", asked, re.MULTILINE)
            assert f"stream_runtime-{version}-py3-none-any.whl" in (folder / "README.md").read_text()


def test_a_copy_has_every_file_of_the_service(copies: Copies) -> None:
    for service, copy in copies.items():
        assert files(copy) == known_files(service)


def known_files(service: str) -> set[str]:
    """The files of a service that git knows of."""
    folder = ROOT / "services" / service
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(listed, cwd=folder, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in known if (folder / name).is_file()}


def required(copy: Path, folders: list[Path]) -> Iterator[Distribution]:
    """What a copy's requirements-dev.txt asks for, and what that requires."""
    lines: list[str] = []
    unread = ["requirements-dev.txt"]
    while unread:
        for line in (copy / unread.pop()).read_text(encoding="utf-8").splitlines():
            (unread if line.startswith("-r ") else lines).append(line.removeprefix("-r "))
    asked = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    installed = {
        canonicalize_name(found.name): found for found in reversed([*distributions(path=[str(f) for f in folders])])
    }
    seen: set[tuple[NormalizedName, str]] = set()
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for each, extra in seen if each == name}:
            seen.add((name, extra))
            needs = map(Requirement, installed[name].requires or ())
            asked += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    yield from (installed[name] for name in sorted({name for name, _ in seen}))


def link_requirements(copy: Path, packages: Path, folder: Path) -> None:
    """Links to what a copy's requirements-dev.txt asks for, and to nothing else."""
    folder.mkdir()
    for found in required(copy, [packages, Path(sysconfig.get_path("purelib"))]):
        for name in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            with contextlib.suppress(FileExistsError):  # several have a part of one package
                (folder / name).symlink_to(str(found.locate_file(name)))


def run_tests(copy: Path, packages: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run tests of a copy with what it requires, which is linked in a new folder."""
    link_requirements(copy, packages, folder)
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_", "PYTHONPATH"))
    }
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # each of them would compile the same packages
    plugins = ["chosen_tests", *(["fast_botocore"] if (folder / "botocore").exists() else [])]
    return subprocess.run(
        [
            # -S: nothing of the Python's own site-packages.
            *(sys.executable, "-S", "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={copy}"),
            *(word for plugin in plugins for word in ("-p", plugin)),
        ],
        cwd=copy,
        env={**variables, "PYTHONPATH": os.pathsep.join([str(folder), str(PLUGINS)])},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.thorough
def test_the_tests_of_each_copy_pass_with_nothing_of_the_repository(
    renamed: dict[str, Path], packages: Path, tmp_path: Path
) -> None:
    assert all(list(copy.glob("tests/test_*.py")) for copy in renamed.values())
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(run_tests, copy, packages, tmp_path / service) for service, copy in renamed.items()]
        for service, ran in zip(renamed, (run.result() for run in runs), strict=True):
            assert ran.returncode == 0, f"{service}\n{ran.stdout[-4000:]}\n{ran.stderr[-2000:]}"


@pytest.mark.thorough
def test_the_chosen_tests_notice_a_file_and_a_requirement_that_a_copy_lacks(
    copies: Copies, packages: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(copies["event-fault-monitor"], tmp_path / "copy"))
    read, asked = copy / "tests" / "fixtures" / "trigger-deleted.json", copy / "requirements-dev.txt"
    text = read.read_text(encoding="utf-8")
    read.unlink()
    ran = run_tests(copy, packages, tmp_path / "all")
    assert (ran.returncode, f"No such file or directory: '{read}'" in ran.stdout) == (1, True), ran.stdout

    read.write_text(text, encoding="utf-8")
    asked.write_text(re.sub("^moto.*\n", "", asked.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
    ran = run_tests(copy, packages, tmp_path / "less")
    assert ran.returncode != 0
    assert "No module named 'moto'" in ran.stdout + ran.stderr


# --- an index of one's own ---


@contextlib.contextmanager
def index_of(wheels: Iterable[Path]) -> Iterator[tuple[str, list[str]]]:
    """A package index on loopback (PEP 503: a page of links for each project); its URL, and the paths asked of it."""
    served = {wheel.name: wheel for wheel in wheels}
    asked: list[str] = []

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            _, kind, name, *_ = [*self.path.split("/"), ""]
            links = "".join(
                f'<a href="/files/{wheel}">{wheel}</a>'
                for wheel in served
                if re.sub(r"[-_.]+", "-", wheel.partition("-")[0]).lower() == name
            )
            if kind == "files" and name in served:
                self.answer("application/octet-stream", served[name].read_bytes())
            elif kind == "simple" and links:
                self.answer("text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode())
            else:
                self.send_error(404)

        def answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked is in the list."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
        server.shutdown()
        serving.join(30)


@pytest.mark.thorough
def test_a_copy_takes_the_runtime_from_an_index_as_the_readme_shows(copies: Copies, tmp_path: Path) -> None:
    service = "rest-bff-service"
    readme = (copies[service] / "README.md").read_text(encoding="utf-8")
    (variable,) = set(re.findall(r"^export (PIP_\w*INDEX_URL)=https://", readme, re.MULTILINE))
    tools = serverless.find_toolchain(ROOT)
    wheels = sorted(tools.wheels.glob("*.whl"))
    own = [wheel for wheel in wheels if wheel.name.startswith("stream_runtime-")]
    assert len(own) == 1
    with_pip = {
        name: value
        for name, value in serverless.environment(tools).items()
        if name not in {"PIP_FIND_LINKS", "PIP_NO_INDEX"}
    }
    # An extra index stands beside the public one, whose place another on loopback takes; any other has all there is.
    beside = variable == "PIP_EXTRA_INDEX_URL"
    package = ("package", "--stage", "dev", "--package", str(tmp_path / "out"), *FROM_THE_HUB, *ISSUER)
    with index_of(set(wheels) - set(own)) as (public, _), index_of(own if beside else wheels) as (url, asked):
        ran = subprocess.run(
            serverless.command(tools, *package),
            cwd=copies[service],
            env={**with_pip, "PIP_INDEX_URL": public, variable: url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"/files/{own[0].name}" in asked
    (made,) = (tmp_path / "out").glob("*.zip")
    names = zipfile.ZipFile(made).namelist()
    assert "stream_runtime/__init__.py" in names
    assert any(name.startswith("pydantic_core/") and name.endswith("aarch64-linux-gnu.so") for name in names)


# --- a git host on loopback ---


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for HOSTS, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return folder / "cert.pem", folder / "key.pem"


def archive() -> bytes:
    """The services of the repository as a host packs them: what git knows of, in a folder named for the branch."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "services", "README.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in filter(None, listed):
            if (ROOT / name).is_file():
                packed.write(ROOT / name, f"REPOSITORY-main/{name}")
    return buffer.getvalue()


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (more := connection.recv(1)):
        head += more
    return head


@pytest.fixture(scope="module")
def git_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables with which the CLI reaches a git host that is this process."""
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    packed = archive()
    answers = {
        (HOSTS[0], "/OWNER/REPOSITORY/archive/main.zip"): (
            b"302 Found\r\nLocation: https://codeload.github.com/OWNER/REPOSITORY/zip/main",
            b"",
        ),
        (HOSTS[1], "/OWNER/REPOSITORY/zip/main"): (b"200 OK\r\nContent-Type: application/zip", packed),
    }
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(30)
        with connection:
            host = read_head(connection).split()[1].decode().removesuffix(":443")
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with tls.wrap_socket(connection, server_side=True) as secured:
                path = read_head(secured).split()[1].decode()
                status, body = answers.get((host, path), (b"404 Not Found", b""))
                head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
                secured.sendall(head + body)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(threading.Thread(target=serve, args=(connection,)))
            connections[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield {
        "HTTPS_PROXY": f"http://127.0.0.1:{listener.getsockname()[1]}",
        "HTTPS_CAFILE": str(cert),
        "NO_PROXY": "",
        "no_proxy": "",
    }
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in (accepting, *connections):
        thread.join(30)


@pytest.mark.thorough
def test_a_copy_from_a_git_host_is_the_copy_from_the_path(
    copies: Copies, git_host: dict[str, str], tmp_path: Path
) -> None:
    def compare(service: str) -> None:
        sls(shown(service, "url"), tmp_path, **git_host)
        made, copy = tmp_path / f"my-{service}", copies[service]
        assert files(made) == files(copy)
        _, different, unread = filecmp.cmpfiles(made, copy, files(made), shallow=False)
        assert [different, unread] == [[], []]

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(compare, CHOSEN if "THOROUGH" in os.environ else CHOSEN[-1:]))


# --- the copies as one system ---


@pytest.mark.thorough
def test_the_copies_are_deployed_and_a_line_item_goes_through_all_of_them(
    renamed: dict[str, Path], tmp_path: Path
) -> None:
    from stream_cli.local.cloud import running_emulator
    from stream_cli.local.state import StateFolder

    tools = serverless.find_toolchain(ROOT)
    with running_emulator(StateFolder(tmp_path / "state"), None) as cloud:
        variables = {
            **serverless.environment(tools, cloud.endpoint.url, region=cloud.endpoint.region),
            "TMPDIR": str(cloud.state.temporary),
        }

        def deploy(service: str) -> None:
            params = [] if service == HUB else ["--param", f"hub=my-{HUB}"]
            sls(["deploy", "--stage", "local", *params], renamed[service], **variables)

        deploy(HUB)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(deploy, [service for service in SERVICES if service != HUB]))
        stacks = {
            stack["StackName"]: {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            for stack in cloud.endpoint.client("cloudformation").describe_stacks()["Stacks"]
        }
        assert {f"my-{service}-local" for service in SERVICES} <= set(stacks)
        cloud.start_deliveries()
        cloud.start_mappings()
        line_item_goes_through(cloud.endpoint, stacks[f"my-{HUB}-local"]["busName"])


def line_item_goes_through(endpoint: Any, bus: str) -> None:
    """Post a line item, publish its analysis, and wait until it is ready and all of it is in the lake."""
    from stream_cli.send import publish

    (api,) = endpoint.client("apigatewayv2").get_apis()["Items"]
    assert api["Name"] == "my-rest-bff-service-local"
    headers = {"Host": f"{api['ApiId']}.execute-api.localhost:{endpoint.port}"}
    published_at = datetime.datetime.now(datetime.UTC).isoformat()
    line_item = {
        "id": "mine-1",
        "source_type": "rss",
        "source_url": "https://news.example/1",
        "title": "A copy works",
        "text_snippet": "All on its own.",
        "author": "A. Writer",
        "published_at": published_at,
        "matched_tags": ["ai"],
    }
    with httpx.Client(base_url=endpoint.url, headers=headers, trust_env=False, timeout=60) as client:
        created = client.post("/line-items", json=line_item)
        assert created.status_code == 201, created.text
        analysis = {"id": "mine-1", "sentiment": "positive", "score": 0.9, "model_version": "v1"}
        event = {
            "id": "analysis-1",
            "type": "line-item-analyzed",
            "timestamp": int(time.time() * 1000),
            "partition_key": "mine-1",
            "tags": {"source": "analysis"},
            "line_item": analysis,
        }
        publish(endpoint.client("events"), bus, [event])
        until(lambda: client.get("/line-items/mine-1").json()["status"] == "ready", "it is ready")
    s3 = endpoint.client("s3")
    (lake,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "my-event-lake-s3-local-0" in each["Name"]]

    def types_in_lake() -> set[str]:
        found = s3.list_objects_v2(Bucket=lake).get("Contents", [])
        bodies = [s3.get_object(Bucket=lake, Key=each["Key"])["Body"].read() for each in found]
        return set(re.findall(r'"detail-type": ?"([a-z-]+)"', "\n".join(map(readable, bodies))))

    types = {"line-item-submitted", "line-item-analyzed", "line-item-ready"}
    until(lambda: types <= types_in_lake(), "the lake has its events")


def readable(body: bytes) -> str:
    import gzip

    return (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body).decode()


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {ARRIVES_WITHIN_S:.0f} s in vain until {what}"
        time.sleep(0.1)
