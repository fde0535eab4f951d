"""The peers that the runtime is measured against, in an environment of their own under .build/."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".build" / "bench-peers"
PYTHON = ENVIRONMENT / "bin" / "python"
PEER = "aws-lambda-stream==1.4.0"
INSTALL_TIMEOUT_S = 300


def installed() -> Path:
    """The Python of that environment; makes the environment if it is missing or out of date.

    It has the same boto3 as ours, so that only the library differs.

    Raises:
        RuntimeError: the peers cannot be installed; the text is the output of uv.
    """
    requirements = [PEER, f"boto3=={importlib.metadata.version('boto3')}"]
    stamp = ENVIRONMENT / ".bench-stamp"
    made_from = hashlib.sha256(repr((requirements, sys.version)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == made_from:
        return PYTHON
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT))
    _uv("pip", "install", "--quiet", "--python", str(PYTHON), *requirements)
    stamp.write_text(made_from)
    return PYTHON


def _uv(*arguments: str) -> None:
    uv = shutil.which("uv", path=str(ROOT / ".venv/bin")) or shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is missing: `npm run setup` installs it")
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"the peers cannot be installed: uv {arguments[0]}: {done.stderr.strip()}")
