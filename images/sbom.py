"""Write an image's bill of materials (CycloneDX 1.6, JSON): what cyclonedx-py found, and what it cannot see.

    python images/sbom.py --python ENVIRONMENT.json --report PIP.json --root FOLDER [--models FOLDER] -o SBOM.json

cyclonedx-py lists the Python packages with their licences and what needs what. Added are the SHA-256 of each archive as
pip reports it, Debian's packages as `minimal_root.py` leaves them in the root, the Python that runs all, and the models
of the manifest. The same content gives the same file: no time, no random number.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL


def archive_hashes(report: dict[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the archive of each package that pip installed, by normalized name."""
    return {
        _normalized(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in report["install"]
        if "archive_info" in item["download_info"]
    }


def debian_packages(status: Path) -> Iterator[Component]:
    """Yield a component for each file of a folder like var/lib/dpkg/status.d."""
    for file in sorted(status.glob("*")):
        fields = dict(line.split(": ", 1) for line in file.read_text().splitlines() if _is_field(line))
        name, version = fields["Package"], fields["Version"]
        purl = PackageURL("deb", "debian", name, version, {"arch": fields["Architecture"]})
        yield Component(name=name, version=version, purl=purl, bom_ref=str(purl), description=fields.get("Description"))


def models(folder: Path) -> Iterator[Component]:
    """Yield a component for each model of a folder's manifest."""
    for model in yaml.safe_load((folder / "manifest.yaml").read_text())["models"]:
        yield Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=model["file"],
            bom_ref=f"model:{model['file']}",
            description=model["origin"],
            licenses=[LicenseExpression(model["licence"])],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=model["sha256"])],
        )


def interpreter() -> Component:
    """Return the Python that runs this, which is the image's too."""
    version = platform.python_version()
    purl = PackageURL("generic", None, "python", version)
    licence = [LicenseExpression("Python-2.0.1")]
    return Component(name="python", version=version, purl=purl, bom_ref=str(purl), licenses=licence)


def complete(bom: Bom, report: dict[str, Any], extra: list[Component]) -> Bom:
    """Add the archives' hashes and further components to a bill."""
    hashes = archive_hashes(report)
    for component in bom.components:
        if digest := hashes.get(_normalized(component.name)):
            component.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    bom.components.update(extra)
    return bom


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _is_field(line: str) -> bool:
    return ": " in line and not line.startswith(" ")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="what cyclonedx-py wrote")
    parser.add_argument("--report", type=Path, required=True, help="what pip install --report wrote")
    parser.add_argument("--root", type=Path, required=True, help="the image's root")
    parser.add_argument("--models", type=Path, help="folder of the models and their manifest")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    bom: Bom = Bom.from_json(json.loads(arguments.python.read_text()))  # type: ignore[attr-defined]  # made by a decorator
    extra = [interpreter(), *debian_packages(arguments.root / "var/lib/dpkg/status.d")]
    if arguments.models:
        extra += models(arguments.models)
    complete(bom, json.loads(arguments.report.read_text()), extra)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    document = json.loads(text)
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
