"""Where the manifests of the CRDs lie: in `crds/` of a source tree, inside `luna_streams` in an installed wheel.

The domain does no I/O, so this stands here; who installs CRDs (local mode, tests) asks for the paths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import luna_streams

CRD_FILES: Final = ("stream.yaml", "streamgroup.yaml", "streamprocessor.yaml")
_PACKAGE: Final = Path(luna_streams.__file__).parent


def crd_manifests(package: Path = _PACKAGE) -> tuple[Path, ...]:
    """Return the paths of the CRDs' manifests, one CustomResourceDefinition each.

    Args:
        package: folder of the package luna_streams.

    Raises:
        FileNotFoundError: if the installation is not complete.
    """
    for folder in (package / "manifests", package.parent):
        paths = tuple(folder / name for name in CRD_FILES)
        if all(path.is_file() for path in paths):
            return paths
    raise FileNotFoundError(
        f"the CRD manifests {', '.join(CRD_FILES)} are neither in {package / 'manifests'} nor in {package.parent}:"
        " install luna-streams-operator again"
    )
