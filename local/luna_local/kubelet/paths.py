"""Mount points without mount namespaces: paths inside a container become paths of this machine.

A processor that is told to read `/var/run/secrets/lunastreams/token` reads `DIR/pods/UID/volumes/token/token` here:
whatever text of the manifest names a path at or below a mount point is rewritten before the process starts. A path
that a program composes by itself cannot be; such a program gets its path by a variable, as ours do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


class MountedPaths:
    """Rewrites the mount points of one container.

    A mount point is recognised where it stands as a path of its own: `--file=/data/x`, `file:///data`, `a:/data`;
    not inside a longer name (`/database`) or below another folder (`/srv/data`).
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = {mount_path.rstrip("/") or "/": str(folder) for mount_path, folder in folders.items()}
        # The longest first: of two nested mount points the inner one wins.
        names = sorted((re.escape(name) for name in self._folders if name != "/"), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w.\-])(?:{'|'.join(names)})(?![\w.\-])") if names else None

    def rewrite(self, text: str) -> str:
        """Return the text with every path at or below a mount point replaced."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._folders[match.group(0)], text)
