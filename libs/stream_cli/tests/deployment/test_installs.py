"""What pip has installed is copied the next time, only if nothing that it depends on has changed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stream_cli.deployment import installs, serverless
from stream_cli.deployment.installs import install

PROGRAM = Path(installs.__file__)
# Stands for a Python with pip, which counts its installations.
PYTHON = """#!/bin/sh
root=${0%/*}/../..
if [ "$3" = help ]; then echo asked >> "$root/asked"; if [ -e "$root/debian" ]; then echo '  --system'; fi; exit; fi
echo "$*" >> "$root/installs"
while [ "$1" != -t ]; do shift; done
mkdir -p "$2/library/deep" "$2/bin"
echo 'a = 1' > "$2/library/deep/a.py"
if [ -e "$root/waits" ]; then read -r _ < "$root/waits"; fi
if [ -e "$root/fails" ]; then exit 3; fi
if [ -e "$root/changes" ]; then echo 2 > "$root/wheels/library-1-py3-none-any.whl"; fi
echo 'not python' > "$2/library/native.so"
chmod 755 "$2/library/native.so"
"""
SPAWN = "module.exports = (...given) => console.log(JSON.stringify(given));"
PIP = """
const spawn = require('child-process-ext/spawn');
const answer = spawn('python3', ['-m', 'pip', 'help', 'install']);
if (answer) console.log(JSON.stringify(answer));
spawn('python3', ['-m', 'pip', 'install', '-t', 'folder'], { shell: true });
spawn('strip', ['-m', 'file'], {});
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with wheels and a Python, and pip's settings for them alone."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/library-1-py3-none-any.whl").write_text("1")
    (tmp_path / "wheels/.stamp").touch()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "wheels").as_uri())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(root):
    """Gives the command with which the plugin starts pip, for a new folder."""
    numbers = iter(range(100))

    def make(*options, requirements="library==1\n", also=None):
        target = root / f"target-{next(numbers)}"
        target.mkdir()
        (target / "requirements.txt").write_text(requirements)
        if also:
            (target / also).touch()
        python = str(root / ".venv/bin/python")
        return [python, "-m", "pip", "install", *options, "-t", str(target), "-r", str(target / "requirements.txt")]

    return make


@pytest.fixture
def run(root, command):
    """Installs into a new folder; gives the folder."""

    def make(*options, **requirements):
        words = command("--no-compile", *options, **requirements)
        assert install(root / "kept", words) == 0
        return Path(words[-3])

    return make


@pytest.fixture
def ran(root):
    """Counts what pip has installed."""
    return lambda: len((root / "installs").read_text().splitlines())


def files(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def waits_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def is_locked_out(pid):
    return any("->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines())


def test_the_second_time_pip_does_not_run_and_the_files_and_modes_are_the_same(run, ran):
    first, second = run(), run()
    assert ran() == 1
    assert len(files(first)) == 3
    assert files(second) == files(first)


def test_comments_and_options_that_a_key_can_hold_do_not_hinder(run, ran):
    options = ["--platform", "manylinux2014_aarch64", "--implementation", "cp", "--python-version", "3.14"]
    text = '# of mine\nlibrary[fast,small]==1.0.*  # a comment\n\nother >= 2, < 3; python_version < "3.99"\n'
    run(*options, "--only-binary=:all:", requirements=text)
    run(*options, "--only-binary=:all:", requirements=text)
    assert ran() == 1


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("wheels/library-1-py3-none-any.whl", "2"),
        ("wheels/other-1-py3-none-any.whl", ""),
        (".venv/pyvenv.cfg", "version = 3.14.9\n"),
        (".venv/lib/python3.14/site-packages/pip-99.dist-info/METADATA", ""),
        (".venv/bin/python", f"{PYTHON}# another\n"),
    ],
)
def test_other_wheels_or_another_python_or_pip_install_anew(run, ran, root, path, content):
    run()
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    run()
    run()
    assert ran() == 2


@pytest.mark.parametrize(
    "other",
    [
        {"requirements": "library==2\n"},
        {"requirements": "library==1; python_version < '3'\n"},
        {"options": ["--platform", "manylinux2014_x86_64"]},
        {"options": ["--python-version", "3.13"]},
        {"options": ["--no-deps"]},
    ],
)
def test_other_requirements_or_options_install_anew(run, ran, other):
    run()
    for _ in range(2):
        run(*other.get("options", []), requirements=other.get("requirements", "library==1\n"))
    assert ran() == 2


def test_another_umask_or_setting_of_python_installs_anew(run, ran, monkeypatch):
    run()
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    run()
    before = os.umask(0o077)
    try:
        closed = run()
    finally:
        os.umask(before)
    assert ran() == 3
    assert {mode & 0o077 for _, mode in files(closed / "library/deep").values()} == {0}


@pytest.mark.parametrize(
    "requirements",
    [
        "-e ../library\n",
        "-r others.txt\n",
        "--extra-index-url https://index.example\nlibrary\n",
        "./library\n",
        "library @ file:///srv/library\n",
        "https://index.example/library-1-py3-none-any.whl\n",
        "library-1-py3-none-any.whl\n",
        "library==${VERSION}\n",
        "library \\\n  ==1\n",
    ],
)
def test_requirements_that_name_what_no_key_holds_are_installed_each_time(run, ran, root, requirements):
    (root / "library-1-py3-none-any.whl").touch()
    run(requirements=requirements)
    run(requirements=requirements)
    assert ran() == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIP_NO_INDEX", "0"),
        ("PIP_CONFIG_FILE", "pip.conf"),
        ("PIP_EXTRA_INDEX_URL", "https://index.example"),
        ("PIP_CONSTRAINT", "constraints.txt"),
        ("PIP_FIND_LINKS", "https://index.example/wheels"),
        ("PIP_FIND_LINKS", ""),
    ],
)
def test_settings_with_which_pip_reads_more_than_local_wheels_install_each_time(run, ran, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    run()
    run()
    assert ran() == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("PIP_PROXY", "http://proxy.example:3128"), ("PIP_DEFAULT_TIMEOUT", "60"), ("PIP_NO_WARN_CONFLICTS", "no")],
)
def test_settings_of_the_network_and_of_warnings_do_not_matter_without_an_index(run, ran, monkeypatch, name, value):
    run()
    monkeypatch.setenv(name, value)
    run()
    assert ran() == 1


@pytest.mark.parametrize("option", ["--constraint=versions.txt", "--pre", "--cache-dir=/elsewhere", "--upgrade"])
def test_an_option_that_is_not_known_installs_each_time(run, ran, option):
    run(option)
    run(option)
    assert ran() == 2


def test_source_distributions_and_folders_with_files_are_installed_each_time(run, ran, root):
    run(also="vendored.py")
    run(also="vendored.py")
    (root / "wheels/library-2.tar.gz").touch()
    run()
    run()
    assert ran() == 4


def test_a_changed_copy_does_not_change_what_is_kept(run, ran):
    first = run()
    before = files(first)
    second = run()
    for path in [*files(first), *files(second)]:
        for folder in (first, second):
            (folder / path).write_text("changed")
    assert files(run()) == before
    assert ran() == 1


def test_what_is_kept_and_was_damaged_is_installed_anew(run, ran, root):
    before = files(run())
    (module,) = (root / "kept").rglob("a.py")
    module.write_text("a = 2\n")
    assert files(run()) == before
    assert files(run()) == before
    assert ran() == 2


def test_a_pip_that_fails_leaves_nothing_and_its_exit_code_is_passed_on(command, run, ran, root):
    (root / "fails").touch()
    assert install(root / "kept", command()) == 3
    assert [each.name for each in (root / "kept").iterdir() if not each.name.startswith(".")] == []
    (root / "fails").unlink()
    assert len(files(run())) == 3
    assert ran() == 2


def test_what_was_installed_while_a_wheel_changed_is_not_kept(run, ran, root):
    (root / "changes").touch()
    run()
    (root / "wheels/library-1-py3-none-any.whl").write_text("1")
    (root / "changes").unlink()
    run()
    assert ran() == 2


def test_a_process_that_is_killed_while_pip_runs_leaves_nothing_and_locks_nobody_out(command, run, ran, root):
    os.mkfifo(root / "waits")
    words = [sys.executable, "-P", PROGRAM, root / "kept", *command("--no-compile")]
    killed = subprocess.Popen(words, start_new_session=True)
    waits_for((root / "installs").exists)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait(timeout=60) == -signal.SIGKILL
    (root / "waits").unlink()
    assert len(files(run())) == 3
    assert ran() == 2


def test_two_at_once_install_once(command, ran, root):
    os.mkfifo(root / "waits")
    commands = [command("--no-compile") for _ in range(2)]
    first = subprocess.Popen([sys.executable, "-P", PROGRAM, root / "kept", *commands[0]])
    waits_for((root / "installs").exists)
    second = subprocess.Popen([sys.executable, "-P", PROGRAM, root / "kept", *commands[1]])
    waits_for(lambda: ran() == 2 or is_locked_out(second.pid))
    (root / "waits").write_text("go on\n")
    assert [each.wait(timeout=60) for each in (first, second)] == [0, 0]
    assert ran() == 1
    assert files(Path(commands[0][-3])) == files(Path(commands[1][-3]))


def test_what_was_used_longest_ago_goes_first(run, ran, root, monkeypatch):
    monkeypatch.setattr(installs, "MAX_INSTALLS", 2)
    for version in (1, 2, 3):
        run(requirements=f"library=={version}\n")
        for each in (root / "kept").iterdir():
            os.utime(each, (each.stat().st_mtime - 60,) * 2)
    assert len([each for each in (root / "kept").iterdir() if not each.name.startswith(".")]) == 2
    run(requirements="library==3\n")
    assert ran() == 3
    run(requirements="library==1\n")
    assert ran() == 4


def test_where_nothing_can_be_kept_pip_installs(run, ran, root, monkeypatch):
    (root / "kept").mkdir()
    (root / "kept").chmod(0o777)
    run()
    (root / "kept").chmod(0o700)

    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(installs.private_files, "open_file", refused)
    assert len(files(run())) == 3
    assert ran() == 2


def test_debians_pip_gets_its_option_as_from_the_plugin(run, root):
    (root / "debian").touch()
    run()
    assert (root / "installs").read_text().endswith(" --system\n")


@pytest.mark.parametrize("is_debians", [True, False])
def test_the_same_pip_is_asked_for_its_options_once(run, ran, root, is_debians):
    if is_debians:
        (root / "debian").touch()
    run()
    run(requirements="library==1\nother==1\n")
    assert ran() == 2
    assert (root / "asked").read_text() == "asked\n"
    assert ["--system" in line for line in (root / "installs").read_text().splitlines()] == [is_debians] * 2
    (root / ".venv/pyvenv.cfg").write_text("version = 3.14.9\n")
    run()
    assert (root / "asked").read_text() == "asked\n" * 2


@pytest.fixture
def plugin(tmp_path):
    """Starts what stands for the plugin, with variables; gives what it spawns."""
    modules = tmp_path / "node_modules"
    for path, text in {"serverless-python-requirements/lib/pip.js": PIP, "child-process-ext/spawn.js": SPAWN}.items():
        (modules / path).parent.mkdir(parents=True)
        (modules / path).write_text(text)
    words = [shutil.which("node"), "--require", PROGRAM.with_suffix(".cjs"), modules / "serverless-python-requirements"]

    def start(**variables):
        done = subprocess.run([*words[:3], words[3] / "lib/pip.js"], env=variables, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return start


def test_the_plugin_starts_this_program_for_pip_alone(plugin):
    assert plugin(KEPT_INSTALLS=json.dumps(["our-python", "-m", "ours", "a folder"])) == [
        {},
        ["our-python", ["-m", "ours", "a folder", "python3", "-m", "pip", "install", "-t", "folder"], {"shell": True}],
        ["strip", ["-m", "file"], {}],
    ]


def test_without_the_variable_the_plugin_starts_pip(plugin):
    assert plugin() == [
        ["python3", ["-m", "pip", "help", "install"]],
        ["python3", ["-m", "pip", "install", "-t", "folder"], {"shell": True}],
        ["strip", ["-m", "file"], {}],
    ]


# Deletes in copies of a folder what a pattern names, each pattern in one of its own; tells what is left, and how often
# a file was looked at for that.
SLIMS = """
const fs = require('node:fs');
const [slim, folder, patterns] = process.argv.slice(2);
const { deleteFiles } = require(slim);
const lstat = fs.lstatSync;
let looked = 0;
fs.lstatSync = (...given) => { looked += 1; return lstat(...given); };
const told = JSON.parse(patterns).map((pattern, number) => {
  const copy = `${folder}-${number}`;
  fs.cpSync(folder, copy, { recursive: true, verbatimSymlinks: true });
  looked = 0;
  deleteFiles({ slimPatterns: [pattern], slimPatternsAppendDefaults: false }, copy);
  const before = looked;
  return [pattern, fs.existsSync(copy) && fs.readdirSync(copy, { recursive: true }).sort(), before];
});
console.log(JSON.stringify(told));
"""
INSTALLED = (
    *(
        "library/__init__.py",
        "library/typed.pyi",
        "library/deep/typed.pyi",
        "library/deep/a.pyc",
        "library/.hidden/b.pyi",
    ),
    *("library-1.dist-info/RECORD", "library-1.dist-info/METADATA", "library-1.dist-info/licenses/LICENSE", "bin/run"),
    *("other/__pycache__/a.pyc", "other/deep/library/c.py", ".dot.pyi", "{odd}/[name].pyi", "other/deep/bin/d"),
)
PATTERNS = (
    *("**/*.py[c|o]", "**/__pycache__*", "**/*.dist-info*", "**/*.pyi", "**/.*", "**/*", "**/?i?", "**/bin"),
    *("**/library/{deep,none/at/all}", "**/{bin,deep}/run", "**/!(*.py)", "**/[[]name].pyi", "**/.hidden/*", "*"),
    *("**/", "**/bin/", "**/library/**", "**/library/**/*.pyi", "**", "library/*.pyi", "**/{bin/,deep}"),
    *("**/#none", "**/!none", "nothing/**/*", "**/./bin", "**/@(a|b)*", "**/deep/typed.pyi"),
)
BY_GLOB = {
    *("*", "**/", "**/bin/", "**/library/**", "**/library/**/*.pyi", "**", "library/*.pyi", "**/{bin/,deep}"),
    *("**/./bin", "nothing/**/*"),
}


@pytest.fixture
def slimmed(tmp_path):
    """What the plugin has left of copies of a folder, with this program's module or without."""
    found = serverless.find_toolchain(PROGRAM)
    plugin = found.root / "node_modules/serverless-python-requirements/lib/slim.js"
    (tmp_path / "slims.js").write_text(SLIMS)

    def make(patterns, *, hooked, name="installed", link=False):
        folder = tmp_path / ("with" if hooked else "without") / name
        for each in INSTALLED:
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).touch()
        if link:
            (folder / "other/link").symlink_to("../library")
        words = [found.node, *(["--require", PROGRAM.with_suffix(".cjs")] if hooked else []), tmp_path / "slims.js"]
        ran = subprocess.run([*words, plugin, folder, json.dumps(patterns)], capture_output=True, check=True)
        return json.loads(ran.stdout)

    return make


def test_what_slim_patterns_name_goes_as_without_this_program_and_is_looked_up_less(slimmed):
    ours, plugins = slimmed(PATTERNS, hooked=True), slimmed(PATTERNS, hooked=False)
    assert [each[:2] for each in ours] == [each[:2] for each in plugins]
    assert len({json.dumps(left) for _, left, _ in ours}) > 15
    fewer = {pattern for (pattern, _, look), (*_, looks) in zip(ours, plugins, strict=True) if look < looks}
    assert fewer >= {*PATTERNS} - BY_GLOB
    assert not fewer & BY_GLOB


@pytest.mark.parametrize("more", [{"link": True}, {"name": "{in,stalled}"}, {"name": "in*"}])
def test_glob_itself_follows_links_and_takes_a_folders_name_for_a_pattern(slimmed, more):
    patterns = ["**/*.pyi", "**/library/*"]
    ours, plugins = (slimmed(patterns, hooked=hooked, **more) for hooked in (True, False))
    assert [each[1:] for each in ours] == [each[1:] for each in plugins]
