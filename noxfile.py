"""All that is checked before a change goes in: `python -m nox`; one of them alone: `python -m nox -s lint`.

Sessions run in the order of `nox.options.sessions`, the quickest to fail first. A Python version that the machine does
not have is skipped by name.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nox

HERE = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13"]
TOOLS = ["mypy>=1.15", "pyright>=1.1.400"]
VERSIONS = "from importlib.metadata import version as v; print(*[(n, v(n)) for n in ('reactivex', 'aioreactive')])"
NOTEBOOK = ["ipykernel", "nbclient"]
TEST = ["pytest-xdist>=3.5"]
TOUCH_OBSERVABLES = [f"tests/{name}" for name in ("laws", "operators", "runners", "testing", "test_chain.py")]
"""The tests in which reactivex or aioreactive has a part."""
TOUCH_THE_INSTALLATION = [
    f"tests/{name}"
    for name in ("cli", "docs", "operators/test_contract.py", "test_chain.py", "test_doctests.py", "test_packaging.py")
]
"""The tests that would notice if something had been left out of a wheel."""


def works(executable: Path, version: str) -> bool:
    """Whether *executable* is that Python: a pyenv shim is there and fails, so it has to be run to know."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [executable, "-c", ask], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


@functools.cache
def interpreter(version: str) -> Path | None:
    """A Python of *version* that works: the one that runs nox, one on the PATH, or one in pyenv's folder."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [
        Path(sys.executable),
        *(folder / f"python{version}" for folder in folders),
        *(found / "bin" / f"python{version}" for found in sorted(pyenv.glob(f"{version}*"), reverse=True)),
    ]
    return next((c for c in candidates if c.is_file() and works(c, version)), None)


FOUND = {version: found for version in PYTHONS if (found := interpreter(version)) is not None}
LOWEST = next(iter(FOUND), PYTHONS[0])

# nox looks on the PATH and not in pyenv's folder.
_elsewhere = [found.parent for found in FOUND.values() if found != Path(sys.executable)]
os.environ["PATH"] = os.pathsep.join([*map(str, dict.fromkeys(_elsewhere)), os.environ.get("PATH", "")])

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = "CI" not in os.environ  # there, one run should tell all there is to mend
nox.options.sessions = [
    "lint",
    f"tests-{LOWEST}",
    "tests_newest",
    "wheel",
    *(f"tests-{v}" for v in PYTHONS if v != LOWEST),
]


def run_tests(session: nox.Session, *arguments: str, without: str = "", cwd: Path = HERE, brief: bool = False) -> None:
    """Run the tests; *without* names what this session does not install, so that its tests skip under CI too.

    *brief*: a property is tried on 25 examples, where one session has tried it on 100.
    """
    session.run("python", "-c", VERSIONS)
    with session.chdir(cwd):
        session.run(
            "pytest",
            "-n",
            "auto",
            "--dist",
            "worksteal",
            *arguments,
            *session.posargs,
            env={"RXCHAIN_WITHOUT": without, "HYPOTHESIS_PROFILE": "brief" if brief else "ci"},
        )


@nox.session(python=LOWEST)
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and its format."""
    session.install("ruff>=0.12")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with the versions that a plain installation gets."""
    here = session.python == LOWEST
    session.install("-e", ".[test]", *TEST, *(NOTEBOOK if here else []))
    run_tests(session, without="" if here else "notebook", brief=not here)


@nox.session(python=LOWEST)
def tests_newest(session: nox.Session) -> None:
    """The tests, with the newest reactivex: aioreactive asks for an older one, and works with this."""
    session.install("-e", ".[test]", *TEST)
    session.install("--no-deps", "reactivex==6.1.0", "aioreactive==0.20.0")
    run_tests(session, *TOUCH_OBSERVABLES, without="notebook", brief=True)


@nox.session(python=LOWEST)
def wheel(session: nox.Session) -> None:
    """What users install: built, looked into, tested and type-checked where the checkout cannot stand in for it."""
    session.install("build", *TOOLS)
    with tempfile.TemporaryDirectory(prefix="rxchain-wheel-") as folder:
        away = Path(folder)
        session.run("python", "-m", "build", "--outdir", str(away / "dist"), silent=True)
        built = next((away / "dist").glob("*.whl"))
        look_into(session, built)
        session.install(f"rxchain[test] @ {built.as_uri()}", *TEST)
        for name in ("tests", "docs", "notebooks"):
            shutil.copytree(HERE / name, away / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "setup.cfg"):
            shutil.copy(HERE / name, away / name)
        check_types(session, away)
        run_tests(session, "--import-mode=importlib", *TOUCH_THE_INSTALLATION, without="notebook,checkout", cwd=away)


def look_into(session: nox.Session, built: Path) -> None:
    """Check that the wheel holds the package, all of it, and nothing beside it."""
    with zipfile.ZipFile(built) as archive:
        packed = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    wanted = {f"rxchain/{p.relative_to(HERE / 'rxchain').as_posix()}" for p in (HERE / "rxchain").rglob("*.py")}
    wanted |= {
        f"rxchain/operators/{p.relative_to(HERE / 'operators').as_posix()}" for p in (HERE / "operators").rglob("*.py")
    }
    wanted |= {"rxchain/py.typed"}
    if missing := wanted - packed:
        session.error(f"the wheel lacks {sorted(missing)}")
    if others := {name for name in packed - wanted if name.endswith(".py") or not name.startswith("rxchain/")}:
        session.error(f"the wheel holds {sorted(others)}, which is no part of rxchain")
    session.log(f"{built.name}: {len(packed)} files, all below rxchain/, operators and py.typed among them")


def check_types(session: nox.Session, away: Path) -> None:
    """Check the installed package and its `assert_type` files with mypy and pyright.

    Inside the checkout both would silently leave out the operators, which are a link there.
    """
    where = "import importlib.util as u; print(u.find_spec('rxchain').submodule_search_locations[0])"
    with session.chdir(away):
        package = str(session.run("python", "-c", where, silent=True)).strip()
        if Path(package).is_relative_to(HERE / "rxchain"):
            session.error(f"the checkout stands in for the installed package: {package}")
        typing = sorted(str(p) for p in (away / "tests" / "typing").glob("*.py"))
        session.run("mypy", "--strict", "-p", "rxchain")
        if typing:
            session.run("mypy", "--strict", *typing)
        python = str(Path(session.bin) / "python")
        session.run("pyright", "--warnings", "--pythonpath", python, package, *typing)


@nox.session(python=LOWEST, default=False)
def coverage(session: nox.Session) -> None:
    """Which lines and branches no test reaches."""
    session.install("-e", ".[test]", *NOTEBOOK)
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "report", "--show-missing", "--skip-covered")


@nox.session(python=LOWEST, default=False)
def bench(session: nox.Session) -> None:
    """How fast it is, beside a plain loop and the libraries that do the like."""
    session.install("-e", ".[test,bench]")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session(python=LOWEST, default=False)
def changelog(session: nox.Session) -> None:
    """Move the fragments of `docs/news` into CHANGELOG.md; with `-- --draft` only show what it would say."""
    session.install("towncrier>=24.8")
    version = (HERE / "rxchain" / "_version.py").read_text().split('"')[1]
    session.run("towncrier", "build", "--yes", "--version", version, *session.posargs)
