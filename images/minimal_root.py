"""Copy what Python and some folders need of this system to an empty root: the image then has no shell and no packager.

    python3 images/minimal_root.py /root-to-make /opt/luna-streams ...

Run while an image is built, by the Python that the image will run, so it uses nothing but the standard library. Copied
are the interpreter, its standard library without what only development needs, every shared library that a file of those
or of the named folders is linked with, certificates, time zones and the names of users. The named folders themselves
are left to the Dockerfile. What Debian's packages say of themselves is kept in `var/lib/dpkg/status.d`, a file for each
package of which something was copied: scanners look there in an image without dpkg.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

# Folders of the standard library that nothing here imports at run time.
DEVELOPMENT = {
    "__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tests", "tkinter", "turtledemo",
}  # fmt: skip
SYSTEM = (
    "/etc/debian_version",  # tells NVIDIA's container runtime where Debian has its libraries
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/locale/C.utf8",
    "/usr/lib/ssl",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
)
# glibc opens this one by its name when a thread is cancelled: no file is linked with it.
OPENED_BY_NAME = ("libgcc_s.so.1",)
# Merged /usr: the loader's path, /lib64/..., is written into every program.
LINKED_FOLDERS = ("/bin", "/lib", "/lib64", "/sbin")
USERS = "root:x:0:0:root:/root:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n"
LUNA = "luna:x:65532:65532:luna-streams:/tmp:/nonexistent\n"
GROUPS = "root:x:0:\nnogroup:x:65534:\nluna:x:65532:\n"
DPKG = Path("/var/lib/dpkg")


class Root:
    """The root that is made, with the same paths as this system's, links included."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.copied: set[Path] = set()

    def add(self, path: Path) -> None:
        """Copy a file, or a folder with all there is in it; what links lead to comes along."""
        path = self._with_links(path)
        if path in self.copied or not path.exists():
            return
        target = self.at / path.relative_to("/")
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            for entry in sorted(path.iterdir()):
                self.add(entry)
            return
        self.copied.add(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)

    def link(self, link: Path) -> None:
        """Make a link, whether what it leads to is copied or not."""
        target = self.at / link.relative_to("/")
        if not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.readlink(link))
            self.copied.add(link)

    def _with_links(self, path: Path) -> Path:
        """Make every link on the way to a path; return where they lead."""
        real = Path("/")
        for part in path.absolute().parts[1:]:
            step = real / part
            for _ in range(40):  # as many as the kernel follows
                if not step.is_symlink():
                    break
                self.link(step)
                step = Path(os.path.normpath(step.parent / os.readlink(step)))
                step = self._with_links(step.parent) / step.name
            real = step
        return real


def standard_library() -> Iterator[Path]:
    """Yield the files of the standard library that programs need."""
    for name in sorted({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}):
        for folder, folders, files in os.walk(name):
            folders[:] = sorted(
                inner for inner in folders if inner not in DEVELOPMENT and not inner.startswith("config-")
            )
            yield from (Path(folder, file) for file in sorted(files))


def linked_libraries(files: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that files are linked with, as the loader finds them."""
    found = set[Path]()
    for file in files:
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607
        found |= {Path(match) for match in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listed, re.MULTILINE)}
    return found


def programs(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the programs and shared libraries below some folders."""
    for top in folders:
        for folder, _, files in os.walk(top):
            for file in (Path(folder, name) for name in files):
                if file.is_file() and not file.is_symlink() and _is_elf(file):
                    yield file


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def owners(files: set[Path]) -> set[str]:
    """Return the names of Debian's packages, with their architecture where it is part of the name, that own files."""
    found = set[str]()
    real_folders: dict[str, Path] = {}
    for listing in (DPKG / "info").glob("*.list"):
        for line in listing.read_text().splitlines():
            folder, _, name = line.rpartition("/")
            if folder not in real_folders:  # /lib/x of the list is /usr/lib/x of the system
                real_folders[folder] = Path(folder or "/").resolve()
            if real_folders[folder] / name in files:
                found.add(listing.stem)
                break
    return found


def keep_status(root: Path, names: set[str]) -> None:
    """Write what dpkg knows of each package, and copy its copyright notice, where the system still has it."""
    if not (DPKG / "status").exists():
        return
    packages = {name.partition(":")[0] for name in names}
    folder = root / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True, exist_ok=True)
    for stanza in (DPKG / "status").read_text().split("\n\n"):
        name = next((line[9:] for line in stanza.splitlines() if line.startswith("Package: ")), None)
        if name in packages:
            (folder / name).write_text(stanza.strip() + "\n")
            notice = Path("/usr/share/doc", name, "copyright")
            if notice.exists():
                (root / notice.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
                shutil.copy2(notice, root / notice.relative_to("/"))


def main(root: Path, folders: list[Path]) -> None:
    """Make the root."""
    made = Root(root)
    root.mkdir(parents=True)
    for name in SYSTEM:
        made.add(Path(name))
    for name in LINKED_FOLDERS:
        if Path(name).is_symlink():
            made.link(Path(name))
    interpreter = Path(sys.executable)
    library = [path for path in standard_library() if path.name != "EXTERNALLY-MANAGED"]
    for path in (interpreter, *library):
        made.add(path)
    linked = linked_libraries([interpreter.resolve(), *(path for path in library if path.suffix == ".so")])
    linked |= linked_libraries(programs(folders))
    beside = {path.parent for path in linked}
    linked |= {folder / name for folder in beside for name in OPENED_BY_NAME if (folder / name).exists()}
    for path in sorted(linked):
        if not any(path.resolve().is_relative_to(folder) for folder in folders):
            made.add(path)
    for name, text in {"passwd": USERS + LUNA, "group": GROUPS}.items():
        (root / "etc" / name).write_text(text)
    for name, mode in {"tmp": 0o1777, "root": 0o700, "run": 0o755, "var/tmp": 0o1777}.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    keep_status(root, owners(made.copied))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name).resolve() for name in sys.argv[2:]])
