"""The templates, and a copy of one: what a template is called in its package.json, and the files of the copy."""

from __future__ import annotations

import json
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

from stream_cli.deployment.services import is_service, service_name, services_below
from stream_cli.errors import CommandError
from stream_cli.new.collisions import collisions
from stream_cli.new.renaming import Renaming
from stream_cli.new.words import Entity, entity_of

_MADE_BY_TOOLS = (".git", ".serverless", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "*.pyc")
# A role's name has 64 characters: <service>-<stage>-<region>-<function>.
_LONGEST_NAME = 32
_SERVICE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Stand for the service and its package while the entity is renamed, so that both may have the entity's word in them.
_NAME, _PACKAGE = "\ue000", "\ue001"


@dataclass(frozen=True)
class Template:
    """A service that can be copied.

    Attributes:
        folder: where it is.
        name: what it is called for short, such as ``control``.
        service: its name in serverless.yml.
        package: its Python package; None if it has no function.
        entity: what it is about; None if it is about events of any kind.
    """

    folder: Path
    name: str
    service: str
    package: str | None
    entity: Entity | None


@dataclass(frozen=True)
class Copy:
    """A template's files with other words, by their paths; not yet written."""

    template: Template
    service: str
    package: str | None
    entity: Entity | None
    files: dict[str, tuple[Path, str | None]]


def templates(services: Path) -> Iterator[Template]:
    """The templates below a folder: the services whose package.json has a ``streamctl``."""
    for folder in services_below(services):
        if template := template_in(folder):
            yield template


def template_in(folder: Path) -> Template | None:
    """The template in a service's folder, None if its package.json has no ``streamctl``."""
    file = folder / "package.json"
    said = json.loads(file.read_text(encoding="utf-8")).get("streamctl") if file.is_file() else None
    name = service_name(folder)
    if not isinstance(said, dict) or name is None:
        return None
    entity = entity_of(said["entity"], said.get("plural")) if said.get("entity") else None
    return Template(folder, str(said.get("template", name)), name, said.get("package"), entity)


def find_template(named: str, services: Path) -> Template:
    """A template by its name, that of its service, or its folder.

    Raises:
        CommandError: there is none.
    """
    known = list(templates(services))
    for template in known:
        if named in (template.name, template.service):
            return template
    folder = Path(named)
    if is_service(folder) and (own := template_in(folder.resolve())):
        return own
    names = ", ".join(sorted(template.name for template in known)) or f"none in {services}"
    raise CommandError(f"There is no template {named}. The templates are: {names}.")


def copy_of(template: Template, service: str, entity: Entity | None) -> Copy:
    """What a copy of a template holds.

    Raises:
        CommandError: a word of the entity or a name is taken, or cannot be a name.
    """
    package = template.package and service.replace("-", "_")
    _check_name(service, package)
    named = entity if template.entity else None
    renaming = Renaming(template.entity, named) if template.entity and named else None
    texts = {str(path.relative_to(template.folder)): _text(path) for path in _files(template.folder)}
    if renaming:
        _check_words(template, texts, renaming)
    files = {}
    for name, text in texts.items():
        new = (
            None if text is None else _renamed(text, template, service, package, renaming, python=name.endswith(".py"))
        )
        if new is not None and name.endswith(".py"):
            compile(new, name, "exec", dont_inherit=True)
        made = _renamed(name, template, service, package, renaming)
        files[made] = (template.folder / name, new)
    if "package.json" in files:
        files["package.json"] = (
            files["package.json"][0],
            _said(files["package.json"][1] or "{}", service, package, named),
        )
    return Copy(template, service, package, named or template.entity, files)


def write(copy: Copy, path: Path) -> None:
    """Write a copy into a folder of another name, which gets its own at the end; nothing is left if that fails.

    Raises:
        CommandError: there is something at the path.
    """
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise CommandError(f"{path} is there already; name a folder that is not, or an empty one.")
    if not path.parent.is_dir():
        raise CommandError(f"There is no folder {path.parent} for {path.name}; make it first.")
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    draft.mkdir()
    try:
        for name, (source, text) in copy.files.items():
            target = draft / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                shutil.copy2(source, target, follow_symlinks=False)
            else:
                target.write_text(text, encoding="utf-8", newline="")
                shutil.copymode(source, target)
        draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_name(service: str, package: str | None) -> None:
    if not _SERVICE.fullmatch(service) or len(service) > _LONGEST_NAME:
        raise CommandError(
            f"{service!r} cannot be the name of a service: at most {_LONGEST_NAME} lower-case letters, digits and "
            "single hyphens, a letter first. Give one with --name."
        )
    if package and (package in sys.stdlib_module_names or package == "tests" or find_spec(package) is not None):
        raise CommandError(f"The package {package} would hide the Python module of that name. Give another --name.")


def _check_words(template: Template, texts: dict[str, str | None], renaming: Renaming) -> None:
    files = {name: text for name, text in texts.items() if text is not None}
    changes = {name: renaming.changes(text, python=name.endswith(".py")) for name, text in files.items()}
    if found := collisions(files, changes):
        shown = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
        raise CommandError(
            f"The template {template.name} uses the word for something else: {shown}. Choose another --entity or "
            "--plural."
        )


def _files(folder: Path) -> Iterator[Path]:
    """The files of a template, without what tools have made and what its .gitignore names."""
    ignore = folder / ".gitignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    patterns = [*_MADE_BY_TOOLS, *(line.strip("/") for line in lines if line and not line.startswith(("#", "!")))]

    def below(each: Path) -> Iterator[Path]:
        for path in sorted(each.iterdir()):
            if any(fnmatch(path.name, pattern) for pattern in patterns):
                continue
            if path.is_dir() and not path.is_symlink():
                yield from below(path)
            else:
                yield path

    return below(folder)


def _text(path: Path) -> str | None:
    """The text of a file, None if it holds something else or is a link."""
    if path.is_symlink():
        return None
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        return None


def _renamed(
    text: str, template: Template, service: str, package: str | None, renaming: Renaming | None, *, python: bool = False
) -> str:
    # README and package.json say how the template itself is copied.
    text = re.sub(rf"(?<![\w-])(?<!services/){re.escape(template.service)}(?![a-z0-9])", _NAME, text)
    if template.package:
        old = re.escape(template.package)
        text = re.sub(rf"(?<![\w./-]){old}(?=[./][\w*]|/?$| import\b)", _PACKAGE, text)
    if renaming:
        text = renaming.text(text, python=python)
    return text.replace(_NAME, service).replace(_PACKAGE, package or "")


def _said(text: str, service: str, package: str | None, entity: Entity | None) -> str:
    """The copy's package.json: what it is called, so that it may be a template itself."""
    content = json.loads(text)
    own = {"template": service, "package": package}
    words = {"entity": entity.one.in_style("snake"), "plural": entity.several.in_style("snake")} if entity else {}
    content["streamctl"] = {**content.get("streamctl", {}), **{k: v for k, v in own.items() if v}, **words}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
