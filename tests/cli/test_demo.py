"""The demo on small folders; test_whole_library.py has it on the standard library."""

from pathlib import Path

import pytest

import rxchain.demo


def test_a_folder_is_measured_by_package_and_its_broken_files_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.py").write_text('def f():\n    "Say."\n    if 1: pass\n\nclass A: pass\n')
    (tmp_path / "shop" / "b.py").write_text("for x in []: pass\n")
    (tmp_path / "one.py").write_bytes(b"# coding: latin-1\nx = '\xe4'\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "undecodable.py").write_bytes(b"x = '\xe4'\n")
    rxchain.demo.run(tmp_path)
    rows = {
        cells[0]: cells[1:] for line in capsys.readouterr().out.splitlines() if len(cells := line.strip("│").split())
    }
    assert rows["shop"] == ["│", "2", "│", "2", "│", "2", "│", "50%"]
    assert rows["total"] == ["│", "3", "│", "2", "│", "2", "│", "50%"]
    assert rows[f"{tmp_path / 'broken.py'}:"][:3] == ["node", "'parse':", "SyntaxError:"]
    assert rows[f"{tmp_path / 'undecodable.py'}:"][:3] == ["node", "'parse':", "SyntaxError:"]
    assert rows["5"][0] == "files"


def test_an_empty_folder_has_a_total_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rxchain.demo.run(tmp_path)
    assert "0 files in" in capsys.readouterr().out


def test_the_source_is_short_enough_to_be_the_first_example() -> None:
    assert len(Path(rxchain.demo.__file__).read_text().splitlines()) <= 40
