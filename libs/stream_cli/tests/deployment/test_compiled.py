"""What V8 has compiled of the Serverless CLI is taken the next time, and modules see no difference."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from stream_cli.deployment import serverless

HOOK = Path(serverless.__file__).with_name("compiled.cjs")
# What a module may look at; its second line is that of the error.
MODULE = """#!/usr/bin/env node
'use strict'; exports.failed = () => { throw new Error('here'); };
Object.assign(exports, {
  own: [__filename, __dirname, module.id, module.parent.filename, this === exports, module.loaded],
  required: [require('./data.json'), require('node:path') === require('path'), Object.keys(require.extensions)],
  resolved: [require.resolve('./data.json'), require.resolve('other', { paths: [__dirname] })],
  paths: require.resolve.paths('x'),
  cached: require.cache[__filename] === module,
  main: [require.main.filename, require.main === process.mainModule],
});
"""
MAIN = """
const told = require('library');
try { told.failed(); } catch (error) { told.stack = error.stack.split('\\n').slice(0, 2); }
try { require('broken'); } catch (error) { told.broken = [error.name, error.message]; }
require('imports')().then((name) => {
  const kept = require('module').prototype._compile.name;
  console.log(JSON.stringify({ ...told, name, children: module.children.map(({ id }) => id) }));
});
"""


@pytest.fixture
def run(tmp_path):
    """Runs the program, with the hook or without; returns what it has told."""
    node = shutil.which("node")
    files = {
        "main.js": MAIN,
        "node_modules/library/index.js": MODULE,
        "node_modules/library/data.json": "[1]",
        "node_modules/other/index.js": "",
        "node_modules/broken/index.js": "exports.a = ;",
        "node_modules/imports/index.js": "module.exports = async () => (await import('node:path')).basename('a/b');",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    def make(*, hooked=True):
        ran = subprocess.run(
            [node, *(["--require", HOOK] if hooked else []), tmp_path / "main.js"],
            env={"PATH": os.environ["PATH"], "NODE_COMPILE_CACHE": str(tmp_path / "kept")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stderr == ""
        return json.loads(ran.stdout)

    return make


@pytest.fixture
def kept(tmp_path, run):
    """The file with what was compiled, after a run."""
    asked = "typeof require('node:module').enableCompileCache"
    if subprocess.run(["node", "-p", asked], capture_output=True, text=True, check=True).stdout != "undefined\n":
        pytest.skip("this Node.js itself keeps what was compiled")
    run()
    (file,) = (tmp_path / "kept").iterdir()
    return file


def test_modules_see_no_difference(run):
    assert run() == run() == run(hooked=False)


def test_what_was_compiled_is_taken_and_not_written_again(run, kept):
    before = kept.read_bytes(), kept.stat().st_ino
    assert b"library" in before[0]
    assert b"main.js" not in before[0]
    run()
    assert (kept.read_bytes(), kept.stat().st_ino) == before
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_changed_module_is_compiled_anew(run, kept, tmp_path):
    before = kept.stat().st_ino
    module = tmp_path / "node_modules/library/index.js"
    module.write_text(MODULE.replace("'here'", "'ever'"))  # as long as before: V8 looks at the length alone
    assert run()["stack"][0] == "Error: ever"
    assert kept.stat().st_ino != before
    assert run()["stack"][0] == "Error: ever"


@pytest.mark.parametrize("damage", ["shorter", "longer", "empty", "zeros"])
def test_a_damaged_file_is_not_used_and_is_written_again(run, kept, damage):
    whole = kept.read_bytes()
    damaged = {"shorter": whole[:-1], "longer": whole + b"1", "empty": b"", "zeros": bytes(len(whole))}[damage]
    kept.write_bytes(damaged)
    assert run() == run(hooked=False)
    assert b"library" in kept.read_bytes() != damaged
    written = kept.stat().st_ino
    run()
    assert kept.stat().st_ino == written


def test_where_nothing_can_be_kept_it_runs(run, tmp_path):
    (tmp_path / "kept").write_text("no folder")
    assert run() == run(hooked=False)
