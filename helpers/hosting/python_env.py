"""The shared base's Python environment in one archive, for a Triton image without our packages.

    python -m helpers.hosting.python_env --out environment.tar.gz
    python -m helpers.hosting.python_env --python python3.12 --site packages/ --out ...

Triton's Python backend starts a model in the environment that ``EXECUTION_ENV_PATH`` of its
``config.pbtxt`` names, and unpacks that once, wherever it likes. So the archive holds a whole
Python that does not know where it lies, as ``conda-pack`` makes one: interpreter, shared library,
standard library, what its extension modules link, and packages. Only the base's configuration
names it (``helpers.hosting.repository``): an avatar's stub needs nothing of it, and 200 of them
would each wait for it.

The interpreter must be of the image's minor version (its stub is built for one) and its machine:
the packer therefore runs on Linux with that Python, such as in a build step of the image.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from helpers.archives import pack
from helpers.errors import CourseError, SetupError
from helpers.pins import direct_pins
from helpers.settings import ROOT

REQUIREMENTS = ROOT / "requirements" / "serving.txt"
ACTIVATE = """\
# Read by the Python backend of Triton up to the middle of 2025; later ones set this themselves.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$here/bin:$PATH"
unset PYTHONHOME PYTHONPATH
"""
_ASK = """
import json, os, sys, sysconfig
print(json.dumps({"program": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    "version": "%d.%d" % sys.version_info[:2], "stdlib": sysconfig.get_path("stdlib"),
    "site": sysconfig.get_path("purelib"), "name": sysconfig.get_config_var("INSTSONAME"),
    "libraries": sysconfig.get_config_var("LIBDIR")}))
"""
_LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter",
             "turtledemo", "ensurepip", "lib2to3"}  # fmt: skip
_WITHOUT_USE = re.compile(r"_tkinter|nis\b|_?(xx|test|xxtest)")
"""Extension modules that a server needs none of, and that link a display's or a directory's."""
_EVERYWHERE = re.compile(
    r"(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|crypt|gcc_s|stdc\+\+|nsl))[.-]"
)
"""Libraries of glibc and the compiler, which belong to the image's own system."""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python to be packed: its program, minor version, standard library, packages and shared
    library."""

    program: Path
    version: str
    stdlib: Path
    site: Path
    library: Path


def pack_environment(
    python: Path | str,
    archive: Path,
    *,
    packages: Collection[str] | None = None,
    site: Path | None = None,
) -> Path:
    """Write the environment of the interpreter ``python`` to ``archive`` (.tar.gz or .tar).

    ``packages`` are distributions to take, with all that they require; without it, everything that
    is installed. ``site`` is a folder of installed packages to take instead of the interpreter's
    own (``helpers.wheels.install_packages``). The same environment gives the same bytes.

    Raises ``SetupError`` when the interpreter cannot be packed or a package is missing.
    """
    found = interpreter(python)
    site = Path(site) if site else found.site
    chosen = _everything(site) if packages is None else _files_of(closure(packages, site), site)
    lib = f"lib/python{found.version}"
    members: dict[str, Path | bytes] = {
        "bin/activate": ACTIVATE.encode(),
        "bin/python3": found.program,
        f"lib/{found.library.name}": found.library,
    }
    members |= {f"{lib}/{name}": file for name, file in _standard(found.stdlib)}
    members |= {f"lib/{file.name}": file for file in linked(found.stdlib / "lib-dynload")}
    members |= {f"{lib}/site-packages/{name}": file for name, file in chosen}
    return pack(members, archive, compress=archive.suffix == ".gz", executable={"bin/python3"})


def interpreter(python: Path | str) -> Interpreter:
    """Ask an interpreter what it is. Raises ``SetupError`` for none, or one without its library."""
    try:
        said = subprocess.run(
            [str(python), "-I", "-c", _ASK], capture_output=True, check=True, timeout=60
        ).stdout
        facts = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise SetupError(
            "this Python cannot be packed", "it does not run", "name one with --python"
        ) from None
    library = Path(facts["libraries"] or "") / (facts["name"] or "")
    if not sys.platform.startswith("linux") or not library.is_file() or ".so" not in library.name:
        raise SetupError(
            f"Python {facts['version']} cannot be packed for Triton",
            "its shared library is not here, and Triton's stub loads it",
            f"on Debian and Ubuntu install libpython{facts['version']}; run on Linux",
        )
    return Interpreter(
        program=Path(facts["program"]),
        version=facts["version"],
        stdlib=Path(facts["stdlib"]),
        site=Path(facts["site"]),
        library=library,
    )


def closure(names: Collection[str], site: Path) -> list[metadata.Distribution]:
    """The distributions of those names in the folder ``site``, and all that they require there.

    A requirement that is not installed is left out if it only holds elsewhere or for an extra.
    Raises ``SetupError`` for one that is needed here.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    installed = {
        str(canonicalize_name(one.name)): one for one in metadata.distributions(path=[str(site)])
    }
    found: dict[str, metadata.Distribution] = {}
    waiting = [str(canonicalize_name(name)) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in installed:
            raise SetupError(
                f"the package {name} is not in the environment that is to be packed",
                f"{site} does not hold it",
                "install requirements/serving.txt there",
            )
        found[name] = installed[name]
        for line in found[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(str(canonicalize_name(needed.name)))
    return [found[name] for name in sorted(found)]


def linked(folder: Path) -> list[Path]:
    """The libraries that the extension modules in ``folder`` link, those of every system apart.

    Raises ``SetupError`` if one is missing here already.
    """
    modules = [str(one) for one in sorted(folder.glob("*.so")) if not _WITHOUT_USE.match(one.name)]
    if not modules:
        return []
    said = subprocess.run(["ldd", *modules], capture_output=True, text=True, check=False).stdout
    if lost := sorted(set(re.findall(r"(\S+) => not found", said))):
        raise SetupError("this Python cannot be packed", f"it lacks {', '.join(lost)} itself")
    found = dict(re.findall(r"(\S+) => (/\S+)", said))
    ours = {name for name in found if not _EVERYWHERE.match(name) and "libpython" not in name}
    return [Path(found[name]).with_name(name) for name in sorted(ours)]


def _standard(stdlib: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(stdlib.rglob("*")):
        name = file.relative_to(stdlib)
        build = name.parts[0].startswith("config-")  # a static library of 60 MB, and makefiles
        if name.parent.name == "lib-dynload" and _WITHOUT_USE.match(name.name):
            continue
        if file.is_file() and not build and not _LEFT_OUT & set(name.parts):
            yield name.as_posix(), file


def _everything(site: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(site.rglob("*")):
        name = file.relative_to(site)
        if file.is_file() and "__pycache__" not in name.parts and name.parts[0] != "pip":
            yield name.as_posix(), file


def _files_of(
    distributions: Collection[metadata.Distribution], site: Path
) -> Iterator[tuple[str, Path]]:
    for one in distributions:
        for file in one.files or ():
            # What lies outside, such as scripts, names the old interpreter by its path.
            path = site / file
            if ".." not in file.parts and "__pycache__" not in file.parts and path.is_file():
                yield file.as_posix(), path


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=str(ROOT / ".venv-serving" / "bin" / "python"))
    parser.add_argument("--site", type=Path, help="folder of installed packages to take instead")
    parser.add_argument("--requirements", type=Path, default=REQUIREMENTS)
    parser.add_argument("--out", type=Path, required=True, help="the archive, .tar.gz")
    given = parser.parse_args()
    try:
        path = pack_environment(
            given.python, given.out, packages=direct_pins(given.requirements), site=given.site
        )
    except CourseError as trouble:
        print(f"{type(trouble).__name__}: {trouble}", file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
