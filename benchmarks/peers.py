"""The peers that the runtime is measured against, Python's and JavaScript's, in folders of their own under .build/."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".build" / "bench-peers"
PYTHON = ENVIRONMENT / "bin" / "python"
PEER = "aws-lambda-stream==1.4.0"
JAVASCRIPT = Path(__file__).resolve().parent / "javascript"
NODE = ROOT / ".build" / "bench-node"
INSTALL_TIMEOUT_S = 300
STAMP = ".bench-stamp"


def installed() -> Path:
    """The Python of that environment; makes the environment if it is missing or out of date.

    It has the same boto3 as ours, so that only the library differs.

    Raises:
        RuntimeError: the peers cannot be installed; the text is the output of uv.
    """
    requirements = [PEER, f"boto3=={importlib.metadata.version('boto3')}"]
    stamp = ENVIRONMENT / STAMP
    made_from = hashlib.sha256(repr((requirements, sys.version)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == made_from:
        return PYTHON
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT))
    _uv("pip", "install", "--quiet", "--python", str(PYTHON), *requirements)
    stamp.write_text(made_from)
    return PYTHON


def node_modules() -> Path:
    """The folder of the JavaScript peers; installs what their lock file pins if that is missing or out of date.

    Raises:
        RuntimeError: the peers cannot be installed; the text is the output of npm.
    """
    sources = [JAVASCRIPT / name for name in ("package.json", "package-lock.json", ".npmrc")]
    stamp = NODE / STAMP
    made_from = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    if not (stamp.exists() and stamp.read_text() == made_from):
        shutil.rmtree(NODE, ignore_errors=True)
        NODE.mkdir(parents=True)
        for source in sources:
            shutil.copy(source, NODE)
        _run("npm", "ci", "--prefix", str(NODE), "--ignore-scripts", "--no-audit", "--no-fund")
        stamp.write_text(made_from)
    return NODE / "node_modules"


def original() -> str:
    """The name and version of the JavaScript original."""
    name = "aws-lambda-stream"
    return f"{name} {json.loads((JAVASCRIPT / 'package.json').read_text())['dependencies'][name]}"


def _uv(*arguments: str) -> None:
    uv = shutil.which("uv", path=str(ROOT / ".venv/bin")) or shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is missing: `npm run setup` installs it")
    _run(uv, *arguments)


def _run(program: str, *arguments: str) -> None:
    command = [program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        name = Path(program).name
        raise RuntimeError(f"the peers cannot be installed: {name} {arguments[0]}: {done.stderr.strip()}")
