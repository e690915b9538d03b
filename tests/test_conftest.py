"""The net under all tests holds: each kind of leak fails the test that made it, and only that one."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = """
    import asyncio, threading, time, warnings

    from rxchain import Chain
    from rxchain.engine._loop_thread import LoopThread


    async def double(n):
        await asyncio.sleep(0)
        return 2 * n


    def test_leak_of_a_coroutine():
        double(1)


    def test_leak_of_a_task():
        async def main():
            asyncio.get_running_loop().later = asyncio.create_task(asyncio.sleep(60))

        asyncio.run(main())


    def test_leak_of_a_thread():
        threading.Thread(target=time.sleep, args=(1.5,)).start()


    def test_leak_of_a_loop_thread():
        LoopThread()


    def test_leak_of_a_warning():
        warnings.warn("beware")


    def test_leak_of_an_error_in_a_finalizer():
        class Sloppy:
            def __del__(self):
                raise ValueError("too late")

        Sloppy()


    def test_clean():
        async def main():
            async for n in Chain(double).stream([1, 2]):
                break
            await asyncio.to_thread(sum, [1])

        asyncio.run(main())
        assert next(Chain(double).iterate([1, 2])) == 2
"""


def test_whatever_a_test_leaves_behind_fails_that_test(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    options = ["-q", "-rA", "-W", "error", "-p", "no:cacheprovider", "--rootdir", "."]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    words = [line.split() for line in run.stdout.splitlines() if "test_it.py::" in line]
    outcomes = {line[1].split("::")[1]: line[0] for line in words if len(line) > 1}
    leaks = {name: outcome for name, outcome in outcomes.items() if "leak" in name}
    assert len(leaks) == 6, run.stdout
    assert set(leaks.values()) == {"FAILED"}, run.stdout
    assert outcomes["test_clean"] == "PASSED", run.stdout
