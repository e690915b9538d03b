"""The pages that list something list all of it."""

import re
from pathlib import Path

import rxchain
import rxchain.operators as ops

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_operators_lists_each_one() -> None:
    page = (DOCS / "operators.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)\([^`]*\)`", page)) >= set(ops.__all__)


def test_the_page_of_errors_lists_each_one() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    named = [getattr(rxchain, name) for name in rxchain.__all__]
    errors = {value.__name__ for value in named if isinstance(value, type) and issubclass(value, Exception)}
    assert {name for name in errors if f"`{name}" not in page} == set()


def test_the_index_leads_to_each_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()
