"""What others put where a file of the user's must be is refused, and what is made is the user's alone."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.local.state import StateFolder
from stream_cli.private_files import NotPrivate

UMASKS = [0o000, 0o022, 0o077, 0o777]


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# --- what is made ---


@pytest.mark.usefixtures("umask")
def test_folders_and_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    private_files.make_folder(folder)
    private_files.write(folder / "written", b"1")
    private_files.open_to_append(folder / "log").close()
    assert [mode(each) for each in (tmp_path / "a", folder)] == [0o700, 0o700]
    assert [mode(each) for each in (folder / "written", folder / "log")] == [0o600, 0o600]


def test_a_new_file_is_closed_to_others_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can open it between its making and a change of its mode."""
    made = []
    fstat = os.fstat
    monkeypatch.setattr("os.fstat", lambda descriptor: made.append(found := fstat(descriptor)) or found)
    before = os.umask(0)
    try:
        private_files.open_to_append(tmp_path / "log").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(made[0].st_mode) == 0o600


def test_what_an_older_version_left_open_is_closed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    log.chmod(0o644)
    with private_files.open_to_append(log) as file:
        file.write(b"new\n")
    assert (mode(log), log.read_text()) == (0o600, "old\nnew\n")


# --- what is in the place of a file ---


def a_symbolic_link(place: Path, elsewhere: Path) -> None:
    place.symlink_to(elsewhere)


def a_dangling_link(place: Path, elsewhere: Path) -> None:
    place.symlink_to(elsewhere.with_name("not-yet-there"))


def a_hard_link(place: Path, elsewhere: Path) -> None:
    place.hardlink_to(elsewhere)


def a_fifo(place: Path, elsewhere: Path) -> None:
    os.mkfifo(place)


def a_folder(place: Path, elsewhere: Path) -> None:
    place.mkdir()


SAID = {
    a_symbolic_link: "is a symbolic link",
    a_dangling_link: "is a symbolic link",
    a_hard_link: "is a hard link",
    a_fifo: "is not a file",
    a_folder: "is not a file",
}
USES: dict[str, Callable[[Path], object]] = {
    "read": private_files.read,
    "append": private_files.open_to_append,
    "empty": lambda path: private_files.open_to_append(path, emptied=True),
    "replace": lambda path: private_files.write(path, b"content"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("attack", SAID, ids=lambda attack: attack.__name__)
def test_what_is_no_file_of_the_user_is_refused_and_left_as_it_is(
    tmp_path: Path, attack: Callable[[Path, Path], None], use: str
) -> None:
    elsewhere, place = tmp_path / "precious", tmp_path / "cloud.json"
    elsewhere.write_text("precious")
    attack(place, elsewhere)
    with pytest.raises(NotPrivate, match=f"cloud.json {SAID[attack]}.*remove it, or name another folder with --state"):
        USES[use](place)
    assert elsewhere.read_text() == "precious"
    assert not (tmp_path / "not-yet-there").exists()


@pytest.mark.parametrize("use", USES)
def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    place = tmp_path / "cloud.json"
    place.write_text("theirs")
    monkeypatch.setattr("os.geteuid", lambda: place.lstat().st_uid + 1)
    with pytest.raises(NotPrivate, match=r"cloud\.json belongs to another user"):
        USES[use](place)
    assert place.read_text() == "theirs"


def test_a_link_that_comes_between_the_look_and_the_write_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, place = tmp_path / "precious", tmp_path / "cloud.json"
    elsewhere.write_text("precious")
    check = private_files.check_file

    def check_then_attack(path: Path) -> None:
        check(path)
        place.symlink_to(elsewhere)

    monkeypatch.setattr(private_files, "check_file", check_then_attack)
    private_files.write(place, b"content")
    assert elsewhere.read_text() == "precious"
    assert not place.is_symlink()


def test_links_that_come_and_go_while_a_file_is_opened_are_never_followed(tmp_path: Path) -> None:
    elsewhere, place = tmp_path / "precious", tmp_path / "serve.log"
    elsewhere.write_text("precious")
    stop = threading.Event()

    def attack() -> None:
        coming = tmp_path / "coming"
        while not stop.is_set():
            for make in (lambda: coming.symlink_to(elsewhere), coming.touch):
                make()
                coming.replace(place)

    attacking = threading.Thread(target=attack)
    attacking.start()
    try:
        for _ in range(2000):
            with contextlib.suppress(NotPrivate, OSError):  # refused
                private_files.open_to_append(place, emptied=True).close()
    finally:
        stop.set()
        attacking.join()
    assert elsewhere.read_text() == "precious"


def test_a_failed_write_leaves_the_old_content_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    private_files.write(target, b"old")

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        private_files.write(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- what is in the place of the state folder ---


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of the user's, with what the clearing of a state folder would remove."""
    folder = tmp_path / "precious"
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / "thesis").write_text("thesis")
    return folder


def own(folder: StateFolder) -> None:
    with folder.owned():
        pass


def test_a_link_in_the_place_of_the_folder_is_refused_and_what_it_names_is_kept(precious: Path, tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to(precious)
    with pytest.raises(NotPrivate, match="state is a symbolic link, where a folder of yours must be"):
        own(StateFolder(tmp_path / "state"))
    assert (precious / "tmp" / "thesis").exists()


@pytest.mark.parametrize("name", ["run", "logs", "tmp", "lambda-python", "mappings", "replays"])
def test_a_link_in_the_place_of_a_folder_in_it_is_refused(precious: Path, tmp_path: Path, name: str) -> None:
    state = StateFolder(tmp_path / "state")
    private_files.make_folder(state.root)
    (state.root / name).symlink_to(precious)
    with pytest.raises(NotPrivate, match=f"{name} is a symbolic link"):
        own(state)
    assert (precious / "tmp" / "thesis").exists()


@pytest.mark.parametrize("name", ["lock", "cloud.json", "serve.log", "serve.previous.log"])
@pytest.mark.parametrize("attack", SAID, ids=lambda attack: attack.__name__)
def test_what_is_no_file_in_the_place_of_a_file_in_it_is_refused(
    tmp_path: Path, name: str, attack: Callable[[Path, Path], None]
) -> None:
    state = StateFolder(tmp_path / "state")
    private_files.make_folder(state.root)
    (tmp_path / "precious").write_text("precious")
    attack(state.root / name, tmp_path / "precious")
    with pytest.raises(NotPrivate, match=f"{name} {SAID[attack]}"):
        own(state)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_record_that_another_user_put_there_ends_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFolder(tmp_path / "state")
    state.run.mkdir(parents=True)
    me = {"pid": os.getpid(), "started": 2e9}
    (tmp_path / "theirs").write_text(json.dumps({"child": me, "wrapper": me}))
    (state.run / "emulator.json").hardlink_to(tmp_path / "theirs")
    with pytest.raises(NotPrivate, match=r"emulator\.json is a hard link"):
        own(state)


@pytest.mark.parametrize("read", [StateFolder.cloud, StateFolder.last_end])
def test_the_folder_of_another_user_tells_no_command_where_a_cloud_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[StateFolder], object]
) -> None:
    """In /tmp, say, anybody can make a `.streamctl`, which commands look for in the folders above."""
    state = StateFolder(tmp_path)
    (tmp_path / "cloud.json").write_text(json.dumps({"port": 1, "owner": {"pid": os.getpid(), "started": 2e9}}))
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.lstat().st_uid + 1)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        read(state)


@pytest.mark.parametrize("read", [StateFolder.cloud, StateFolder.last_end])
def test_neither_does_a_link_in_its_place_nor_a_folder_that_anybody_can_change(
    tmp_path: Path, read: Callable[[StateFolder], object]
) -> None:
    """What they name is a file of the user, such as that of another cloud."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "cloud.json").write_text(json.dumps({"port": 1, "owner": {"pid": os.getpid(), "started": 2e9}}))
    (tmp_path / "link").symlink_to(shared)
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        read(StateFolder(tmp_path / "link"))
    shared.chmod(0o777)
    with pytest.raises(NotPrivate, match="Every user of this machine"):
        read(StateFolder(shared))


def test_a_folder_in_which_anybody_can_replace_it_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(NotPrivate, match=r"can replace what is in .*shared\. .*chmod o-w"):
        own(StateFolder(shared / "deep" / "state"))
    shared.chmod(0o1777)  # as /tmp is
    own(StateFolder(shared / "deep" / "state"))


def test_a_folder_of_an_older_version_is_closed_with_all_that_is_in_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.logs.mkdir(parents=True)
    for folder in (state.root, state.logs):
        folder.chmod(0o755)
    own(state)
    assert [mode(each) for each in (state.root, state.logs, state.root / "lock")] == [0o700, 0o700, 0o600]


def test_the_rights_of_a_folder_that_is_for_other_things_are_not_changed(tmp_path: Path) -> None:
    """`--state .` in a project that others read."""
    project = tmp_path / "project"
    project.mkdir()
    project.chmod(0o755)
    (project / "README.md").touch()
    with pytest.raises(CommandError, match=r"Other users may look into .*: README\.md is in it.*chmod 700"):
        own(StateFolder(project))
    assert mode(project) == 0o755


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cloud.json").write_text("{")
    with pytest.raises(CommandError, match=r"cloud\.json is damaged.*Remove it"):
        StateFolder(tmp_path).cloud()
