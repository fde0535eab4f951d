"""Of each package the end is read, which lists its files; what cannot be read is told, and asked again later."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from stream_cli.console.sizes import MOST_AT_ONCE, Sizes
from stream_cli.errors import CommandError
from stream_cli.journal.unknown import noting
from stream_cli.trace.stage.asking import Kept
from stream_cli.trace.stage.connecting import StageApis


def package(files: int, size: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for number in range(files):
            made.writestr(f"a_folder_with_a_long_name/{number:0>80}.py", "x" * size)
    return packed.getvalue()


class Store(http.server.BaseHTTPRequestHandler):
    """Where packages are: gives parts of them, as S3 does."""

    content = b""
    with_parts = True

    def do_GET(self) -> None:
        part = self.headers["Range"]
        self.server.asked.append(part)  # type: ignore[attr-defined]
        body = self.content[-int(part.rpartition("-")[2]) :] if self.with_parts else self.content
        self.send_response(206 if self.with_parts else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Any]:
    class Own(Store):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield SimpleNamespace(handler=Own, asked=vars(server).setdefault("asked", []), port=server.server_port)
    server.shutdown()
    serving.join()
    server.server_close()


def apis_of(store: Any) -> StageApis:
    found = {"Code": {"Location": f"http://127.0.0.1:{store.port}/package"}}
    functions = SimpleNamespace(get_function=lambda FunctionName: found)
    connection: Any = SimpleNamespace(client=lambda service: functions)
    return StageApis(connection, Kept())


FUNCTIONS = {"one": {"CodeSize": 10, "CodeSha256": "same"}, "two": {"CodeSize": 10, "CodeSha256": "same"}}


@pytest.mark.parametrize(("files", "size", "requests"), [(3, 400_000, 1), (2_500, 10, 2)])
def test_at_a_stage_only_the_end_of_each_package_is_read_and_once(
    store: Any, files: int, size: int, requests: int
) -> None:
    store.handler.content = package(files, size)
    sizes = Sizes()
    for _ in range(2):
        found = sizes.of(FUNCTIONS, apis_of(store))
    assert found == [{"name": name, "zipped": 10, "unzipped": files * size} for name in ("one", "two")]
    assert store.asked == ["bytes=-262144", "bytes=-4194304"][:requests]


def test_where_no_part_can_be_read_nothing_is(store: Any) -> None:
    store.handler.content, store.handler.with_parts = package(1, 1), False
    with noting() as notes:
        assert Sizes().of(FUNCTIONS, apis_of(store))[0]["unzipped"] is None
    (told,) = notes.texts()
    assert told.startswith("Not known here: unzipped sizes, because where the package is, no part of it can be read")


def test_what_is_no_zip_file_is_not_asked_again(store: Any) -> None:
    store.handler.content = b"no zip file"
    sizes = Sizes()
    for _ in range(2):
        assert sizes.of(FUNCTIONS, apis_of(store))[0]["unzipped"] is None
    assert len(store.asked) == 2


def test_what_is_refused_is_told_and_many_packages_are_read_one_part_after_the_other() -> None:
    now, asked = [0.0], []

    def end(name: str, most: int) -> bytes:
        asked.append(name)
        if name == "f-00" and now[0] == 0:
            raise CommandError("your role lacks lambda:GetFunction")
        return package(1, 7)

    apis: Any = SimpleNamespace(end_of_code=end)
    functions = {f"f-{n:02}": {"CodeSize": 1, "CodeSha256": str(n)} for n in range(MOST_AT_ONCE + 5)}
    sizes = Sizes(lambda: now[0])
    with noting() as notes:
        for _ in range(3):
            found = sizes.of(functions, apis)
    assert len(asked) == MOST_AT_ONCE
    assert sum(each["unzipped"] is None for each in found) == 6
    (told,) = notes.texts()
    assert "your role lacks lambda:GetFunction" in told
    now[0] = 30.0
    with noting() as notes:
        assert all(each["unzipped"] == 7 for each in sizes.of(functions, apis))
    assert notes.texts() == []
