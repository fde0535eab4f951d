"""Why the Serverless CLI failed, without what only its authors need: environment, stack trace, command lines of pip.

What is left out is in the log, which the error names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stream_cli.terminal.output import without_colours

LINES_SHOWN = 25

_ERROR = "\nError:\n"
_OF_NOBODY = (
    *("Environment: ", "Docs: ", "Support: ", "Bugs: ", "(node:", "(Use `node ", "npm warn ", "npm notice "),
    "Learn more about configuration validation here: ",
)
_OF_PIP = "ERROR: "
_CANNOT_COMPILE = (
    "The CLI cannot compile a stream event whose arn is an Fn::Sub, an Fn::ImportValue of anything but a string, or an "
    "Fn::Join that does not end in a string. Write the ARN as a string, Fn::GetAtt, Ref, or an Fn::Join with the name "
    "of the stream last."
)
_AT_PROPERTY = ('Cannot resolve variable at "', "at '")


def reason_in(output: str, service: Path) -> str:
    """What the CLI says of its failure, and where that is in the service; without an ``Error:``, what it said last."""
    text = without_colours(output).rstrip()
    _, found, reason = f"\n{text}".rpartition(_ERROR)
    lines = _pip_errors(text, reason) or [*_useful((reason if found else text).split("\n"), service)]
    shown = lines[:LINES_SHOWN] if found else lines[-LINES_SHOWN:]
    told = "\n".join(_placed(each, service) for each in shown).strip("\n") or "it has printed nothing"
    return f"{told}\n{_CANNOT_COMPILE}" if "events/stream.js" in text and "is not a function" in text else told


def _useful(lines: Iterable[str], service: Path) -> Iterator[str]:
    """Lines without noise; of a stack trace, those in the service's own files. No two empty lines come together."""
    before = ""
    for line in lines:
        said = line.strip()
        is_frame = said.startswith("at ") and line[:1].isspace() and _is_frame(said)
        if line.startswith(_OF_NOBODY) or (is_frame and not _is_own(said, service)) or (not said and not before):
            continue
        before = said
        yield line.rstrip()


def _is_frame(said: str) -> bool:
    return said.endswith((")", "<anonymous>")) or said.rpartition(":")[2].isdecimal()


def _is_own(frame: str, service: Path) -> bool:
    return f"{service}/" in frame and "node_modules" not in frame


def _pip_errors(output: str, reason: str) -> list[str]:
    """What pip calls an error, where it has failed; the plugin prints that before, and then its command line."""
    if " pip install" not in reason.replace("'", "") and '"pip"' not in reason:
        return []
    errors = dict.fromkeys(line.partition(_OF_PIP)[2].strip() for line in output.split("\n") if _OF_PIP in line)
    return ["pip cannot install what requirements.txt names:", *(f"  {each}" for each in errors)] if errors else []


def _placed(line: str, service: Path) -> str:
    """A line about a property of the configuration, with the number of its line there."""
    for before in _AT_PROPERTY:
        start = line.find(before)
        if start >= 0:
            named = line[start + len(before) :]
            path = named.partition(before[-1])[0]
            number = line_of(service / "serverless.yml", path.split("."))
            if number:
                return f"serverless.yml:{number}: {line.strip().removeprefix('- ')}"
    return line


def line_of(configuration: Path, path: Sequence[str]) -> int:
    """The line of a property of a YAML file in block style, by the indentation of its keys; 0 if it is not found.

    Where only a part of the path is found, the line is that of this part.
    """
    try:
        lines = configuration.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return 0
    found, start, outer = 0, 0, -1
    for key in path:
        if key == "0":  # the first of a list, whose keys come next
            continue
        inner = -1
        for number in range(start, len(lines)):
            text = lines[number].split(" #")[0].rstrip()
            said = text.lstrip(" -")
            indent = len(text) - len(said)
            if not said or said.startswith("#"):
                continue
            if indent <= outer:
                return found
            inner = indent if inner < 0 else inner
            if indent == inner and said.partition(":")[0].strip("\"'") == key and ":" in said:
                found, start, outer = number + 1, number + 1, indent
                break
        else:
            return found
    return found
