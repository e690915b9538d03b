"""`rxchain demo` on the standard library itself; awaited last, as it takes a while."""

import subprocess


def test_the_standard_library_is_measured_and_its_broken_files_do_not_stop_it(
    whole_library: "subprocess.Popen[str]",
) -> None:
    stdout, stderr = whole_library.communicate(timeout=300)
    assert stderr == ""
    assert whole_library.returncode == 0
    assert "│ asyncio " in stdout
    assert "│ total " in stdout
    files = int(stdout.splitlines()[-1].split(" files in ")[0].replace(",", ""))
    assert files > 500
