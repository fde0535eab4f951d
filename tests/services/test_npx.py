"""In a copy of a template, `npx sls` before `npm install` does not run the npm package `sls`, which is another program.

The registry is this test: it has a package of that name, which says so when it runs.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/serverless.yml"))
MANIFEST = {"name": "sls", "version": "0.1.0", "bin": {"sls": "sls.js"}}


def package() -> bytes:
    """The archive of the unrelated package."""
    body = io.BytesIO()
    program = b"#!/usr/bin/env node\nconsole.log('another program');\n"
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, content in (("package.json", json.dumps(MANIFEST).encode()), ("sls.js", program)):
            member = tarfile.TarInfo(f"package/{name}")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return body.getvalue()


@pytest.fixture
def registry() -> Iterator[tuple[str, list[str]]]:
    """A registry of npm on loopback: its URL, and the paths asked of it."""
    archive, asked = package(), []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            integrity = f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"
            version = {**MANIFEST, "dist": {"tarball": f"{url}/sls/-/sls-0.1.0.tgz", "integrity": integrity}}
            about = {"name": "sls", "dist-tags": {"latest": "0.1.0"}, "versions": {"0.1.0": version}}
            body = archive if self.path.endswith(".tgz") else json.dumps(about).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked is in the list."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield url, asked
        server.shutdown()
        serving.join(30)


def npx_sls(copy: Path, home: Path, registry: str) -> subprocess.CompletedProcess[str]:
    node = Path(str(shutil.which("node"))).parent
    return subprocess.run(
        ["npx", "sls", "--version"],
        cwd=copy,
        env={"PATH": f"{node}{os.pathsep}{os.defpath}", "HOME": str(home), "npm_config_registry": registry},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_npx_refuses_to_install_the_package_sls_in_a_copy(registry: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = registry
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("node_modules", ".serverless")
    shutil.copytree(ROOT / "services/control-service", copy, ignore=ignored)

    ran = npx_sls(copy, tmp_path / "home", url)

    assert ran.returncode != 0
    assert "npx canceled" in ran.stderr
    assert "another program" not in ran.stdout
    assert [path for path in asked if path.endswith(".tgz")] == []


@pytest.mark.parametrize("folder", [".", *(f"services/{name}" for name in SERVICES)])
def test_npx_runs_only_what_is_installed_in_every_folder_with_a_package_json(folder: str) -> None:
    assert "yes=false" in (ROOT / folder / ".npmrc").read_text().splitlines()
