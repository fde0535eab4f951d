"""The logs of a local cloud: text from outside cannot forge a line of them; the end of a large log is read alone."""

import subprocess
import sys
from pathlib import Path

from stream_cli.terminal.logs import tail

HOSTILE = r"a\n12:00:00 INFO all good\r\x1b]0;owned\x07\x9b31m\u202e\u2028"
LOGGING = f"""
import logging, sys
from stream_cli.terminal.guarded import guard_output
from stream_cli.terminal.logs import log_lines

guard_output()
log_lines("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
logging.getLogger("x").warning("rule %s", "{HOSTILE}")
try:
    raise ValueError("{HOSTILE}")
except ValueError:
    logging.getLogger("x").exception("{HOSTILE}")
print("{HOSTILE}")
sys.stderr.write("{HOSTILE}")
"""


def test_a_line_end_in_data_makes_no_line_of_the_log_and_nothing_acts_on_a_terminal() -> None:
    ran = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)

    *logged, _, _ = ran.stderr.split("\n")
    assert len([line for line in logged if not line.startswith("  | ")]) == 2
    assert [line for line in logged if line.startswith("12:00:00 INFO all good")] == []
    for written in (ran.stdout, ran.stderr):
        assert [character for character in written.replace("\n", "") if not character.isprintable()] == []
        assert r"\x1b]0;owned\x07\x9b31m\u202e\u2028" in written


def test_ministack_and_its_server_log_through_it(tmp_path: Path) -> None:
    code = """
import logging, sys
from stream_cli.terminal.logs import LineFormatter, log_lines
log_lines("%(message)s")
import ministack.app
print([type(each.formatter) is LineFormatter for each in logging.getLogger().handlers])
"""
    environment = {"STATE_DIR": str(tmp_path), "S3_DATA_DIR": str(tmp_path), "PATH": "", "GATEWAY_PORT": "1"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[True]"


def test_the_end_of_a_log_is_read_without_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "large.log"
    with log.open("wb") as written:
        written.truncate(1 << 40)  # a sparse file, which no memory holds
        written.seek(0, 2)
        written.write(b"first\nlast\x85line\n")
    assert tail(log, 2).split("\n")[-1] == "last\ufffdline"
