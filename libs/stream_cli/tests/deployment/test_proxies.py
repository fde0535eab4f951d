"""The caller's proxies: nothing that talks to the local cloud uses them, pip alone is told of one."""

import http.server
import os
import subprocess
import sys
import threading

import pytest
from stream_cli.deployment.proxies import proxy_for_pip, unset_proxies, without_proxies
from stream_cli.deployment.serverless import Toolchain, environment
from stream_cli.deployment.stacks import find_account
from stream_cli.local.endpoint import LocalEndpoint

PROXY = "http://proxy.example:3128"
# curl and requests read small letters, Windows and Java programs capitals, urllib any mixture.
NAMES = [
    "HTTP_PROXY",
    "http_proxy",
    "Http_Proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "FTP_PROXY",
    "SOCKS_PROXY",
    "proxy",
    "PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "NPM_CONFIG_HTTPS_PROXY",
    "npm_config_noproxy",
    "npm_config_no_proxy",
    "YARN_HTTPS_PROXY",
    "NODE_USE_ENV_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY",
    "GLOBAL_AGENT_NO_PROXY",
    "GLOBAL_AGENT_ENVIRONMENT_VARIABLE_NAMESPACE",
]


@pytest.fixture
def proxied(monkeypatch):
    """An environment with every proxy setting that there is."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in NAMES:
        monkeypatch.setenv(name, PROXY)


@pytest.fixture
def requests_seen():
    """A proxy on loopback that refuses everything; gives its URL and the list of what it was asked for."""
    seen = []

    class Recording(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(f"{self.command} {self.path}")
            self.send_error(404)

        do_CONNECT = do_POST = do_PUT = do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recording)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize("name", NAMES)
def test_a_proxy_setting_is_dropped_however_it_is_written(name):
    assert without_proxies({name: PROXY, "HOME": "/home/me"}) == {"HOME": "/home/me"}


@pytest.mark.parametrize("name", NAMES)
def test_the_serverless_cli_gets_no_proxy_for_the_local_cloud(name, tmp_path):
    made = environment(Toolchain(tmp_path, "node"), "http://127.0.0.1:4566", inherited={name: PROXY})
    assert {each for each, value in made.items() if value == PROXY} <= {"PIP_PROXY"}
    assert made["NO_PROXY"] == made["no_proxy"] == "127.0.0.1,localhost"


@pytest.mark.parametrize(
    ("caller", "told"),
    [
        ({"HTTPS_PROXY": "http://a", "HTTP_PROXY": "http://b"}, {"PIP_PROXY": "http://a"}),
        ({"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, {"PIP_PROXY": "http://a"}),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://a"}, {"PIP_PROXY": "http://a"}),
        ({"http_proxy": "http://a"}, {"PIP_PROXY": "http://a"}),
        ({"PIP_PROXY": "http://a", "HTTPS_PROXY": "http://b"}, {"PIP_PROXY": "http://a"}),
        ({"NO_PROXY": "*"}, {}),
        ({}, {}),
    ],
)
def test_pip_gets_the_proxy_that_it_would_have_used(caller, told, tmp_path):
    assert proxy_for_pip(caller) == told
    made = environment(Toolchain(tmp_path, "node"), inherited=caller)
    assert {name: value for name, value in made.items() if name == "PIP_PROXY"} == told


def test_pip_reaches_a_host_that_a_requirements_file_names_through_the_proxy(requests_seen, tmp_path):
    proxy, seen = requests_seen
    (tmp_path / "requirements.txt").write_text("thing @ http://host.invalid/thing-1-py3-none-any.whl\n")
    python = [sys.executable, "-m", "pip", "download", "--retries=0", "--dest", str(tmp_path), "-r", "requirements.txt"]
    made = environment(Toolchain(tmp_path, "node"), inherited={"HTTPS_PROXY": proxy, "PATH": os.environ["PATH"]})
    subprocess.run(python, cwd=tmp_path, env=made, capture_output=True, timeout=60)
    assert seen == ["GET http://host.invalid/thing-1-py3-none-any.whl"]


def test_a_stage_on_aws_keeps_the_proxies(proxied, monkeypatch, requests_seen):
    """The CLI's own clients and the Serverless CLI: who needs a proxy to reach AWS keeps it."""
    proxy, seen = requests_seen
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Exception, match=r"There is no AWS account to work on.*(?i:proxy)"):
        find_account("dev", "eu-west-1")
    assert seen == ["CONNECT sts.eu-west-1.amazonaws.com:443"]


def test_clients_of_the_local_cloud_ask_no_proxy(proxied, monkeypatch, requests_seen):
    from botocore.exceptions import EndpointConnectionError

    proxy, seen = requests_seen
    for name in NAMES:
        monkeypatch.setenv(name, "" if "no" in name.lower().split("_") else proxy)
    with pytest.raises(EndpointConnectionError):
        LocalEndpoint(9).client("sts", attempts=1).get_caller_identity()  # nothing listens on the discard port
    assert seen == []


def test_a_shell_for_the_local_cloud_drops_the_proxies_and_tells_pip(proxied):
    lines = "\n".join(LocalEndpoint(4566).shell_lines())
    shown = subprocess.run(["sh", "-c", f"{lines}\nenv"], capture_output=True, text=True, check=True).stdout
    left = [line for line in shown.splitlines() if line.endswith(f"={PROXY}")]
    assert left == [f"PIP_PROXY={PROXY}"]


def test_a_shell_of_another_terminal_drops_them_too(monkeypatch):
    """The lines were printed where no proxy is set."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    lines = "\n".join(LocalEndpoint(4566).shell_lines())
    caller = {**os.environ, "HTTPS_PROXY": PROXY, "all_proxy": PROXY}
    shown = subprocess.run(["sh", "-c", f"{lines}\nenv"], env=caller, capture_output=True, text=True, check=True)
    assert PROXY not in shown.stdout


@pytest.mark.parametrize("name", ["x;touch pwned;_proxy", "$(touch pwned)_proxy", "two words_proxy", "9_proxy"])
def test_a_variable_whose_name_is_a_command_is_not_printed(name):
    assert name not in unset_proxies({name: PROXY})
