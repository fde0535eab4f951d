"""What the packaging plugin has compressed is taken the next time, and the zip files have the same bytes."""

import base64
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from stream_cli.deployment import installs, serverless

HOOK = Path(installs.__file__).with_suffix(".cjs")
# Makes zip files as the plugin does, of files and a level; tells the digest of each, and how often it has compressed.
ZIPS = """
const { createHash } = require('node:crypto');
const { PassThrough } = require('node:stream');
const [root] = process.argv.slice(2);
const wanted = require('node:fs').readFileSync(0, 'utf8');
const load = require('node:module').createRequire(root + '/node_modules/serverless-python-requirements/lib/zip.js');
const pako = load('pako');
let compressed = 0;
pako.Deflate = new Proxy(pako.Deflate, { construct: (made, given) => (compressed += 1, new made(...given)) });
const JSZip = load('jszip');
async function made({ files, level }) {
  const zip = new JSZip();
  const date = new Date(0);
  for (const [name, content] of Object.entries(files)) {
    zip.file(name, typeof content === 'string' ? content : Buffer.from(content.base64, 'base64'), { date });
  }
  const options = { platform: 'UNIX', compression: 'DEFLATE', compressionOptions: { level } };
  const hash = createHash('sha256');
  const stream = zip.generateNodeStream(options).pipe(new PassThrough());
  for await (const part of stream) hash.update(part);
  return hash.digest('hex');
}
(async () => {
  const zips = [];
  for (const each of JSON.parse(wanted)) zips.push(await made(each));
  console.log(JSON.stringify([zips, compressed]));
})();
"""


def binary(content):
    return {"base64": base64.b64encode(content).decode()}


FILES = {
    "empty": binary(b""),
    "text": binary(b"what repeats, repeats, and what repeats " * 20_000),
    "random": binary(random.Random(1).randbytes(100_000)),
    "written as text": "\u00e9\u6587 \x00\xff" * 1000,
}

COMPRESSED = len(FILES) - 1  # what is empty is stored


@pytest.fixture
def zipped(tmp_path):
    """The digests of zip files, and how many files were compressed for them."""
    tools = serverless.find_toolchain(HOOK)
    (tmp_path / "zips.js").write_text(ZIPS)

    def make(*zips, hooked=True):
        words = [tools.node, *(["--require", HOOK] if hooked else []), tmp_path / "zips.js", tools.root]
        given = json.dumps([{"files": files, "level": level} for files, level in zips])
        variables = {"PATH": os.environ["PATH"], "KEPT_INSTALLS": json.dumps(["x", str(tmp_path / "kept")])}
        ran = subprocess.run(words, input=given, env=variables, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        return json.loads(ran.stdout)

    return make


def test_zip_files_have_the_same_bytes_and_their_files_are_compressed_once(zipped):
    plain, compressed = zipped((FILES, 9), hooked=False)
    assert compressed == COMPRESSED
    assert zipped((FILES, 9)) == [plain, compressed]
    assert zipped((FILES, 9)) == [plain, 0]
    assert zipped((FILES, 9), (FILES, 9)) == [plain * 2, 0]


@pytest.mark.thorough
def test_another_content_or_level_is_compressed_anew(zipped):
    zipped((FILES, 9))
    changed = {
        **FILES,
        "text": binary(b"what repeats, repeats, and what repeats " * 19_999 + b"something else" + b"." * 26),
    }
    for files, level, compressed in ((changed, 9, 1), (FILES, 1, COMPRESSED), (changed, 9, 0)):
        expected, _ = zipped((files, level), hooked=False)
        assert zipped((files, level)) == [expected, compressed]


@pytest.mark.parametrize("place", [-1, -50_000, 12])
def test_what_is_damaged_is_compressed_anew(zipped, tmp_path, place):
    plain, _ = zipped((FILES, 9))
    file = tmp_path / "kept/.deflated"
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    again, compressed = zipped((FILES, 9))
    assert again == plain
    assert compressed > 0
    assert zipped((FILES, 9)) == [plain, 0]


def test_only_its_user_can_read_and_write_what_is_kept(zipped, tmp_path):
    zipped((FILES, 9))
    file = tmp_path / "kept/.deflated"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_above_a_limit_only_what_was_made_last_is_kept(tmp_path):
    parts = HOOK.with_name("kept_parts.cjs")
    asked = """
    const [module, file] = process.argv.slice(1);
    const { add, read } = require(module);
    const part = (text) => ({ digest: text, data: Buffer.from(text) });
    for (const names of [['one', 'two'], ['three'], ['four', 'five']]) {
      add(file, new Map(names.map((name) => [name, part(name)])), 12);
      console.log([...read(file)].map(([name, { data }]) => `${name}=${data}`).join(' '));
    }
    """
    ran = subprocess.run(["node", "-e", asked, parts, tmp_path / "kept"], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["one=one two=two", "one=one two=two three=three", "four=four five=five"]
