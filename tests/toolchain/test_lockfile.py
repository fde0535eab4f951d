"""The lock file without hosts says the same as uv's, and the repository names no host of packages."""

import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lockfile import Hosts, expanded, host_free
from toolchain import default_hosts

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = (ROOT / "uv.lock.in").read_text()
HOSTS = Hosts("https://index.example/simple", "https://files.example")


def test_the_committed_lock_names_no_host():
    assert "://" not in COMMITTED


def test_expanding_the_committed_lock_and_stripping_it_again_gives_the_same_text():
    assert host_free(expanded(COMMITTED, HOSTS), HOSTS) == COMMITTED


def test_the_expanded_lock_holds_an_address_and_a_hash_for_every_file():
    lock = tomllib.loads(expanded(COMMITTED, HOSTS))
    from_index = [package for package in lock["package"] if "registry" in package["source"]]
    assert {package["source"]["registry"] for package in from_index} == {HOSTS.index}
    files = [
        file for package in from_index for file in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
    ]
    assert len(files) > len(from_index)
    assert [file for file in files if not file["url"].startswith(f"{HOSTS.files}/packages/")] == []
    assert [file for file in files if not file["hash"].startswith("sha256:")] == []


def test_a_lock_made_with_another_index_is_refused():
    foreign = expanded(COMMITTED, Hosts("https://mirror.example/simple", HOSTS.files))
    with pytest.raises(ValueError, match=r"https://mirror\.example"):
        host_free(foreign, HOSTS)


def test_the_lock_of_the_npm_packages_names_no_host_to_fetch_from():
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()


def test_no_tracked_file_names_the_hosts_that_pip_knows():
    hosts = [urlsplit(address).netloc for address in (default_hosts().index, default_hosts().files)]
    found = subprocess.run(
        ["git", "grep", "--files-with-matches", "--fixed-strings", *[word for host in hosts for word in ("-e", host)]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
