"""The Reactive Streams TCK itself, in a Java process, against rxchain's publishers, processors and subscribers.

It runs where `java`, `javac` and the TCK's jars are; `RXCHAIN_TCK` names the folder of these. docs/reactive-streams.md
says how to get them. Elsewhere it is skipped: the rules are tested one by one beside it, without Java.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rxchain

HERE = Path(__file__).parent

VERIFICATIONS = {"Publishers": 31, "Processors": 41, "Whitebox": 14, "Blackbox": 11}
"""How many tests of each pass; the TCK has more names, of rules that it says it cannot test."""

NEEDS_MORE_SUBSCRIBERS = {
    "Processors.optional_spec111_maySupportMultiSubscribe",
    "Processors.optional_spec111_multicast_mustProduceTheSameElementsInTheSameSequenceToAllOfItsSubscribersWhenRequestingManyUpfront",
    "Processors.optional_spec111_multicast_mustProduceTheSameElementsInTheSameSequenceToAllOfItsSubscribersWhenRequestingManyUpfrontAndCompleteAsExpected",
    "Processors.optional_spec111_multicast_mustProduceTheSameElementsInTheSameSequenceToAllOfItsSubscribersWhenRequestingOneByOne",
    "Processors.optional_spec111_registeredSubscribersMustReceiveOnNextOrOnCompleteSignals",
    "Processors.required_mustRequestFromUpstreamForElementsThatHaveBeenRequestedLongAgo",
    "Processors.required_spec104_mustCallOnErrorOnAllItsSubscribersIfItEncountersANonRecoverableError",
}
"""What a processor of one subscriber is not asked: rule 1.11 leaves that to it."""


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that starts the TCK, but for the port."""
    jars = os.environ.get("RXCHAIN_TCK")
    if not jars or not list(Path(jars).glob("*.jar")):
        pytest.skip("RXCHAIN_TCK names no folder with the jars of the TCK: see docs/reactive-streams.md")
    missing = [tool for tool in ("java", "javac") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    classes = tmp_path_factory.mktemp("classes")
    path = str(Path(jars).resolve() / "*")
    built = ["javac", "-Xlint:-deprecation", "-d", str(classes), "-cp", path, str(HERE / "Bridge.java")]
    subprocess.run(built, check=True, timeout=120)
    return ["java", "-cp", os.pathsep.join([str(classes), path]), "Bridge"]


@pytest.mark.parametrize("place", ["threads", "loop"])
def test_the_tck_passes(bridge: list[str], place: str) -> None:
    package = str(Path(rxchain.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, str(HERE / "bridge.py"), place, *bridge],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
    assert [(name, why) for result, name, why in results if result == "failed"] == []
    passed = [name.partition(".")[0] for result, name, _ in results if result == "passed"]
    assert {name: passed.count(name) for name in VERIFICATIONS} == VERIFICATIONS
    skipped = {name for result, name, _ in results if result == "skipped" and "untested_" not in name}
    assert skipped == NEEDS_MORE_SUBSCRIBERS
