"""The commands of ``course.py``: each makes what it needs, then starts the course's own Python."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.errors import CourseError, SetupError
from helpers.launcher import checks, kernels
from helpers.launcher.cleaning import clean
from helpers.launcher.prepare import Launcher

UPLOADS = ("--ServerApp.tornado_settings={'websocket_max_message_size': 268435456}",)
"""An upload of the photo form is one message to the kernel; Jupyter cuts off those above 10 MiB."""


def demo(launcher: Launcher, photos: Path | None) -> int:
    if photos is not None and not photos.is_dir():
        raise SetupError(f"{photos} is not a folder", next="name the folder that holds your photos")
    python = launcher.prepare()
    given = ["--photos", str(photos.resolve())] if photos else []
    return launcher.run(python, "-m", "helpers.demo", *given, OMP_WAIT_POLICY="PASSIVE")


def test(launcher: Launcher, selection: Sequence[str]) -> int:
    python = launcher.prepare()
    return checks.run(launcher.root, python, selection)


def base(launcher: Launcher, given: argparse.Namespace) -> int:
    """Options go on as they are, but a folder is meant from where the learner stands."""
    words = [given.id] if given.id else []
    words += ["--from", str(given.folder.resolve())] if given.folder else []
    words += ["--accept-licence"] if given.accept_licence else []
    words += ["--trust-weights"] if given.trust_weights else []
    return launcher.run(launcher.prepare(), "-m", "helpers.bases", *words)


def bench(launcher: Launcher, name: str | None, *, quick: bool, publish: bool) -> int:
    """An unknown name is refused before anything is made."""
    from helpers.bench.registry import bench as find

    if name:
        find(name)
    words = [name] if name else []
    words += ["--quick"] if quick else []
    words += ["--publish"] if publish else []
    return launcher.run(launcher.prepare(), "-m", "helpers.bench", *words)


def cohort(launcher: Launcher, given: argparse.Namespace) -> int:
    words = [given.what, given.name]
    words += [f"--seats={given.seats}"] if given.seats is not None else []
    words += [f"--budget={given.budget}"] if given.budget is not None else []
    words += [
        f"--{name.replace('_', '-')}"
        for name in ("watch", "dry_run", "keep_photos", "yes")
        if getattr(given, name)
    ]
    return launcher.run(launcher.course_python(), "-m", "helpers.cohort", *words)


def lab(launcher: Launcher, rest: Sequence[str], *, register: bool) -> int:
    python = launcher.prepare()
    server = kernels.running_server()
    if server or register:
        return _register(launcher, python, server or "your Jupyter server")
    first = sorted(launcher.root.glob("notebooks/00_*.ipynb"))
    target = first[0] if first else launcher.root
    as_root = ["--allow-root"] if os.geteuid() == 0 else []  # JupyterLab asks root to say so
    return launcher.run(
        python, "-m", "jupyterlab", target, *as_root, *UPLOADS, *rest, JUPYTER_PREFER_ENV_PATH="1"
    )


def _register(launcher: Launcher, python: Path, server: str) -> int:
    jupyter = kernels.server_jupyter(python)
    done = kernels.register(
        launcher.root, python, jupyter=jupyter, record=launcher.private / "kernels.json"
    )
    launcher.say(f"this is {server}, so no second one is started; its kernel `python3` now leads")
    print(f"to {python} for notebooks in {launcher.root}, and where it led before for all others.")
    for folder in done.folders:
        print(f"  written: {folder}")
    if kept := [name for name in sorted(os.environ) if name.startswith("AVATAR_")]:
        print(f"Those notebooks keep {', '.join(kept)}, until you run this command again.")
    if not done.sure:
        print(
            "Whether the server finds it could not be checked. If a notebook's `import helpers`\n"
            "fails, start the server with JUPYTER_PREFER_ENV_PATH=0 or choose this kernel by hand."
        )
    print("Next: open notebooks/00_start.ipynb; restart kernels that run already.")
    print("To undo this: python3 course.py lab --unregister")
    return 0


def unregister(launcher: Launcher) -> int:
    undone = kernels.unregister(launcher.root, launcher.private / "kernels.json")
    for folder in undone:
        print(f"put back as it was: {folder}")
    if not undone:
        print("no kernel of this course is registered")
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and given.command not in ("test", "lab"):
        parser.error(f"unknown: {' '.join(rest)}")
    launcher = Launcher()
    try:
        if given.command == "demo":
            return demo(launcher, given.photos)
        if given.command == "test":
            return test(launcher, rest)
        if given.command == "base":
            return base(launcher, given)
        if given.command == "bench":
            return bench(launcher, given.name, quick=given.quick, publish=given.publish)
        if given.command == "cohort":
            return cohort(launcher, given)
        if given.command == "lab":
            if given.unregister:
                return unregister(launcher)
            return lab(launcher, rest, register=given.register)
        return clean(launcher, everything=given.all, photos=given.photos, dry_run=given.dry_run)
    except CourseError as error:
        for part in (error.what, error.why, error.next):
            if part:
                print(part, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="course.py",
        description="Personalised avatars: photos in, a model that paints their subject out.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, help: str, usage: str | None = None) -> argparse.ArgumentParser:
        # No abbreviations: `clean --al` must not mean `clean --all`.
        return commands.add_parser(name, help=help, usage=usage, allow_abbrev=False)

    one = command("demo", help="ten photos to a gallery of avatars, end to end")
    one.add_argument("--photos", type=Path, metavar="DIR", help="your own photos of one subject")
    command(
        "test",
        "every check and test, notebooks included; anything after it goes to pytest alone",
        usage="course.py test [what pytest should run, and its options]",
    )
    one = command("lab", help="JupyterLab at the first notebook")
    one.add_argument(
        "--register",
        action="store_true",
        help="register the kernel in another Jupyter even if none was recognised",
    )
    one.add_argument("--unregister", action="store_true", help="undo that")
    one = command("bench", help="measure what the course claims; without a name: what there is")
    one.add_argument("name", nargs="?", metavar="NAME", help="such as fine-tune")
    one.add_argument("--quick", action="store_true", help="only walk through: no number counts")
    one.add_argument("--publish", action="store_true", help="also into docs/performance.md")
    one = command("base", help="base models: list them; verify one and put it into your bucket")
    one.add_argument("id", nargs="?", metavar="ID", help="a base of the registry")
    one.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help="its files")
    one.add_argument("--accept-licence", action="store_true", help="you read it and accept it")
    one.add_argument(
        "--trust-weights", action="store_true", help="pin hashes that nobody confirmed yet"
    )
    one = command("cohort", help="for instructors: a room full of learners (docs/instructor.md)")
    one.add_argument(
        "what",
        choices=("seats", "check", "board", "end"),
        help="who gets which name; quotas, waits and money beforehand; who is where; remove all",
    )
    one.add_argument("name", metavar="NAME", help="of the cohort, such as spring")
    one.add_argument("--seats", type=int, metavar="N", help="how many learners")
    one.add_argument("--budget", type=float, metavar="DOLLARS", help="check: for all of them")
    one.add_argument("--watch", action="store_true", help="board: look again and again")
    one.add_argument("--dry-run", action="store_true", help="end: only say what would be removed")
    one.add_argument("--keep-photos", action="store_true", help="end: and adapters, in S3")
    one.add_argument("--yes", action="store_true", help="end: without asking")
    one = command(
        "clean",
        help="end everything that runs and bills, here or (AVATAR_BACKEND=aws) on AWS, and prove "
        "it; then delete what can be remade",
    )
    asked = one.add_mutually_exclusive_group()
    asked.add_argument(
        "--keep-photos",
        dest="photos",
        action="store_const",
        const="keep",
        default="ask",
        help="leave photos and adapters in S3 (without either option: asked on a terminal; where "
        "nobody can be asked they stay on AWS, and go with the local SageMaker here)",
    )
    asked.add_argument(
        "--delete-photos",
        dest="photos",
        action="store_const",
        const="delete",
        help="delete them too, without asking",
    )
    one.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    one.add_argument("--all", action="store_true", help="the environments and the kernel as well")
    return parser
