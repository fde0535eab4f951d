"""The software bill of materials of a function's package, as CycloneDX JSON.

It is read from the zip itself: from the metadata of the distributions that are in it, not from what was asked for.
"""

from __future__ import annotations

import hashlib
import re
import uuid
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_REQUIRED = re.compile(r"[A-Za-z0-9._-]+")
_CLASSIFIED = "License :: OSI Approved :: "
_LICENSE_LENGTH = 100  # a longer one is the whole text


def sbom_of(package: Path, function: str) -> str:
    """The SBOM of a function's zip file: each distribution in it, who needs which, and the hash of the zip.

    The same zip gives the same document.
    """
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    root = Component(
        name=function,
        type=ComponentType.APPLICATION,
        version=digest[:12],
        bom_ref=function,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )
    with zipfile.ZipFile(package) as zipped:
        held = [
            BytesHeaderParser().parsebytes(zipped.read(name))
            for name in sorted(zipped.namelist())
            if _METADATA.fullmatch(name)
        ]
    found = {_normalized(metadata["Name"]): (_component(metadata), metadata) for metadata in held}
    components = [component for component, _ in found.values()]
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{digest}"),
        metadata=BomMetaData(component=root),
    )
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.register_dependency(root, components)
    for component, metadata in found.values():
        needed = {_normalized(name) for name in _requirements(metadata)}
        bom.register_dependency(component, [found[name][0] for name in sorted(needed & found.keys())])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _component(metadata: Message) -> Component:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    name, version = str(metadata["Name"]), str(metadata["Version"])
    purl = PackageURL("pypi", name=_normalized(name), version=version)
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl), licenses=_licenses(metadata))


def _licenses(metadata: Message) -> Iterable[License]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    made = LicenseFactory()
    if expression := metadata["License-Expression"]:
        return [made.make_with_expression(str(expression))]
    classified = [each.removeprefix(_CLASSIFIED) for each in map(str, metadata.get_all("Classifier", []))]
    named = [each for each in classified if not each.startswith("License ::") and " :: " not in each]
    if not named and (written := str(metadata["License"] or "").strip()):
        named = [written.partition("\n")[0][:_LICENSE_LENGTH]]
    return [made.make_from_string(each) for each in named]


def _requirements(metadata: Message) -> Iterable[str]:
    for requirement in map(str, metadata.get_all("Requires-Dist", [])):
        if "extra ==" not in requirement and (name := _REQUIRED.match(requirement)):
            yield name[0]


def _normalized(name: str) -> str:
    """The name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
