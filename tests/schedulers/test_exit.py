"""The interpreter's exit, seen from outside: it waits for no thread and no process, and says what it left."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PRELUDE = """
import asyncio, sys, threading, time
from rxchain.schedulers import placed, Threads, Processes

def blocks(item):
    print("inside", flush=True)
    time.sleep(60)

async def runs(on):
    await placed(blocks, on, name="slow")("tea")

async def begins(on):
    task = asyncio.ensure_future(runs(on))
    await asyncio.to_thread(sys.stdin.readline)
"""


def start(program: str, folder: Path) -> "subprocess.Popen[str]":
    file = folder / "program.py"
    file.write_text(PRELUDE + textwrap.dedent(program))
    return subprocess.Popen(
        [sys.executable, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def finish(process: "subprocess.Popen[str]", *, interrupt: bool = False) -> tuple[int, str, float]:
    """Let the program go on once it is inside the function: exit code, stderr, seconds."""
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "inside\n"
            begun = time.monotonic()
            if interrupt:
                process.send_signal(signal.SIGINT)
            _, errors = process.communicate("go on\n", timeout=20)
            return process.returncode, errors, time.monotonic() - begun
        finally:
            process.kill()


LEFT = "rxchain: exit does not wait for node 'slow', still busy in thread 'rxchain {} 1' with item 'tea'\n"


def test_when_the_main_program_is_done(tmp_path: Path) -> None:
    code, errors, seconds = finish(start('asyncio.run(begins("threads"))', tmp_path))
    assert (code, errors) == (0, LEFT.format("threads"))
    assert seconds < 10  # and not 60


def test_when_the_main_program_fails(tmp_path: Path) -> None:
    program = """
        async def main():
            await begins(Threads(2, name="mine"))
            raise SystemExit(3)
        asyncio.run(main())
    """
    code, errors, _ = finish(start(program, tmp_path))
    assert (code, errors) == (3, LEFT.format("mine"))


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT can be sent there")
@pytest.mark.parametrize("block", ["", "with pool:", "async with pool:"])
def test_when_it_is_interrupted(tmp_path: Path, block: str) -> None:
    program = f"""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # where the test runs it may be ignored
        pool = Threads(2, name="mine")
        async def main():
            {block or "if True:"}
                await runs(pool)
        asyncio.run(main())
    """
    code, errors, seconds = finish(start(program, tmp_path), interrupt=True)
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt\n" in errors
    assert errors.endswith(LEFT.format("mine"))
    assert ("left running in thread 'rxchain mine 1' when its pool was abandoned" in errors) == bool(block)
    assert seconds < 10


def test_what_had_not_begun_is_counted(tmp_path: Path) -> None:
    program = """
        submitted = threading.Event()
        async def main():
            tasks = [asyncio.ensure_future(runs(pool)) for _ in range(4)]
            await asyncio.sleep(0)  # each has got as far as the pool
            submitted.set()
            await asyncio.gather(*tasks)
        pool = Threads(1, name="mine")
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        sys.stdin.readline()
        submitted.wait()
    """
    code, errors, _ = finish(start(program, tmp_path))
    assert (code, errors) == (0, LEFT.format("mine") + "rxchain: exit drops 3 more calls that had not begun\n")


def test_worker_processes_are_killed(tmp_path: Path) -> None:
    program = """
        if __name__ == "__main__":
            asyncio.run(begins("processes"))
    """
    code, errors, seconds = finish(start(program, tmp_path))
    said = "rxchain: exit does not wait for node 'slow', still busy in a worker process with item 'tea'\n"
    assert (code, errors) == (0, said)
    assert seconds < 20


def test_a_quiet_exit_says_nothing(tmp_path: Path) -> None:
    program = """
        print("inside", flush=True)
        async def main():
            await placed(abs, "threads")(-1)
            await placed(abs, Threads(2))(-1)
            await placed(abs, Processes(1))(-1)
        if __name__ == "__main__":
            asyncio.run(main())
    """
    assert finish(start(program, tmp_path))[:2] == (0, "")


def test_a_script_without_its_guard_is_told_of_it(tmp_path: Path) -> None:
    program = """
        def double(x):
            return 2 * x
        print("inside", flush=True)
        print(asyncio.run(placed(double, Processes(1))(1)))
    """
    code, errors, _ = finish(start(program, tmp_path))
    assert code == 1
    last = errors[errors.rindex("WorkerDied: ") :].splitlines()
    assert last[0].startswith("WorkerDied: node 'double': a worker process died (exit code 1)")
    assert last[1].endswith('and what it does must stand below `if __name__ == "__main__":`')


@pytest.mark.parametrize("how", ["-c", "-m"])
def test_a_function_that_no_worker_reads_is_refused(how: str, tmp_path: Path) -> None:
    program = "from rxchain.schedulers import placed\ndef double(x): ...\nplaced(double, 'processes')\n"
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(program)
    done = subprocess.run(
        [sys.executable, how, program if how == "-c" else "package"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "node 'double' cannot run on processes: it was defined in an interactive session, a notebook" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_threads_of_its_own(tmp_path: Path) -> None:
    program = """
        import os, warnings
        warnings.simplefilter("ignore")
        pool = Threads(1)
        asyncio.run(placed(abs, pool)(-1))
        child = os.fork()
        if child == 0:
            assert asyncio.run(placed(abs, pool)(-2)) == 2
            os._exit(7)
        print("inside", flush=True)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert finish(start(program, tmp_path))[:2] == (7, "")
