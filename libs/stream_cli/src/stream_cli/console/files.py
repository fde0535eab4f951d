"""The files of the page: those beside this module, and a fixed list of ES modules from npm packages.

All are read once, at the start. No path of a request is ever looked up on the disk.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_IMPORT_MAP = b'<script type="importmap">'

PACKAGES: Mapping[str, str] = {
    "/packages/preact.js": "preact/dist/preact.mjs",
    "/packages/hooks.js": "preact/hooks/dist/hooks.mjs",
    "/packages/htm.js": "htm/dist/htm.module.js",
    "/packages/dagre.js": "@dagrejs/dagre/dist/dagre.esm.js",
    "/packages/uplot.js": "uplot/dist/uPlot.esm.js",
    "/packages/uplot.css": "uplot/dist/uPlot.min.css",
}
"""What the page imports, by path; index.html has the names, and the style sheet."""


@dataclass(frozen=True)
class PageFile:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


def page_files(node_modules: Path | None) -> dict[str, PageFile]:
    """All files by path. A package that is not installed is answered by a module that says so."""
    found = {f"/{path.name}": path.read_bytes() for path in sorted(_PAGE.iterdir()) if path.suffix in _TYPES}
    found["/"] = found.pop("/index.html")
    for path, name in PACKAGES.items():
        file = node_modules / name if node_modules is not None else None
        missing = "" if name.endswith(".css") else _missing(name)
        found[path] = file.read_bytes() if file is not None and file.is_file() else missing.encode()
    return {path: _page_file(path, content) for path, content in found.items()}


def _missing(name: str) -> str:
    return f"throw new Error('{name} is not installed: run npm run setup, and start the console again')\n"


def node_modules() -> Path | None:
    """The nearest folder of npm packages that has the page's, at or above the current folder, else above this file."""
    for origin in (Path.cwd(), Path(__file__)):
        for folder in (origin.resolve(), *origin.resolve().parents):
            if (folder / "node_modules" / "preact").is_dir():
                return folder / "node_modules"
    return None


def script_hashes(page: bytes) -> list[str]:
    """The hashes of the scripts that stand in a page, as a Content-Security-Policy names them."""
    scripts = [each.partition(b"</script>")[0] for each in page.split(_IMPORT_MAP)[1:]]
    return [f"sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}" for each in scripts]


def answered(file: PageFile, request: Request) -> Response:
    """The file, or 304 if the browser has it."""
    headers = {"etag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _page_file(path: str, content: bytes) -> PageFile:
    suffix = Path(path).suffix or ".html"
    return PageFile(content, _TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
