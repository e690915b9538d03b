"""What `MODULE_OR_FILE:CHAIN` may be, and what is said where it is something else."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rxchain.cli import main


@pytest.fixture(autouse=True)
def _modules_are_imported_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def invoke(*arguments: str) -> Result:
    before = set(sys.modules)
    result = CliRunner().invoke(main, list(arguments))
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("chains", "broken", "shop", "other"):
            del sys.modules[name]
    return result


def refused(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("where", ["chains", "chains.py", "./chains.py"])
def test_a_module_and_a_file_are_both_found_in_the_current_directory(folder: Path, where: str) -> None:
    assert "prices: price" in invoke("explain", f"{where}:prices").stdout


def test_an_operator_becomes_a_chain_and_dots_lead_into_classes(folder: Path) -> None:
    assert "loud" in invoke("graph", "chains:loud").stdout
    assert "upper" in invoke("graph", "chains:box.inner").stdout


def test_the_name_may_be_left_out_where_there_is_one_chain(folder: Path) -> None:
    (folder / "other.py").write_text("from chains import prices\n")
    assert "price" in invoke("graph", "other").stdout
    assert "price" in invoke("graph", "other.py").stdout


def test_of_several_chains_one_must_be_named(folder: Path) -> None:
    assert "chains: say which" in refused("graph", "chains")
    assert "chains:prices" in refused("graph", "chains")


def test_a_module_without_a_chain_says_what_it_has(folder: Path) -> None:
    (folder / "other.py").write_text("def make(): ...\n")
    assert "other.py has no Chain of its own" in refused("graph", "other.py")
    assert "it has make" in refused("graph", "other.py")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.py:chain", "there is no file nowhere.py"),
        ("chians.py:prices", "did you mean 'chains.py'?"),
        ("chians:prices", "there is no module 'chians' (did you mean 'chains'?)"),
        ("chains:pricse", "chains has no 'pricse' (did you mean 'price' or 'prices'?)"),
        ("chains:box.iner", "chains:box has no 'iner' (did you mean 'inner'?)"),
        (
            "chains:number",
            "chains:number is an int: a Chain, a node, an operator or a function that makes one is needed",
        ),
        ("chains:Point", "is a class (Point)"),
        ("chains:slowly", "async function"),
        ("chains:upper", "if it is a step and makes no chain, put it into one: chain = Chain(upper)"),
        ("./:chain", "is a folder"),
        ("a b:c", "neither a .py file nor a module's name"),
    ],
)
def test_what_is_not_there_is_said_on_one_line_with_what_is_near(folder: Path, target: str, said: str) -> None:
    stderr = refused("graph", target)
    assert said in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import no_such_library",
            "broken.py:1: ModuleNotFoundError: No module named 'no_such_library'; install it for",
        ),
        ("\nraise RuntimeError('a\\nb')", "broken.py:2: RuntimeError: a b\n"),
        ("\ndef f(:\n", "broken.py:2: SyntaxError: invalid syntax\n"),
        ("raise SystemExit(3)", "importing broken.py ended the program"),
    ],
)
def test_an_error_in_the_users_module_is_one_line_with_its_place(folder: Path, text: str, said: str) -> None:
    (folder / "broken.py").write_text(text)
    assert said in refused("graph", "broken.py:chain")


def test_a_file_of_a_package_is_told_to_be_named_with_dots(folder: Path) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "orders.py").write_text("from . import prices\n")
    assert "name it with dots: shop.orders" in refused("graph", "shop/orders.py:chain")
    assert "there is no module 'shop.order' (did you mean 'orders'?)" in refused("graph", "shop.order:chain")


def test_a_composition_error_keeps_its_text(folder: Path) -> None:
    stderr = refused("graph", "chains:wrong")
    assert "a class is no step" in stderr
    assert "Chain(ops.map(int))  # correct" in stderr
    (folder / "other.py").write_text("from rxchain import Chain\nchain = Chain(int)\n")
    assert "other.py:2: a class is no step" in refused("graph", "other.py:chain")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([], "chains:prefixed needs --param prefix=...; it takes prefix: str, times: int = 1, loud: bool = False"),
        (["prefx=a"], "has no parameter 'prefx' (did you mean 'prefix'?)"),
        (["prefix=a", "times=x"], "--param times=x: chains:prefixed needs an int there"),
        (["prefix=a", "loud=maybe"], "--param loud=maybe: chains:prefixed needs true or false there"),
        (["prefix=a", "prefix=b"], "--param prefix is given twice: 'a' and 'b'"),
        (["prefix"], "say --param key=value"),
    ],
)
def test_parameters_that_do_not_fit_are_told_with_those_there_are(folder: Path, params: list[str], said: str) -> None:
    given = [word for param in params for word in ("--param", param)]
    assert said in refused("graph", "chains:prefixed", *given)


def test_a_chain_takes_no_parameters(folder: Path) -> None:
    assert "chains:prices is a Chain, not a function that makes one: it takes no --param" in refused(
        "graph", "chains:prices", "--param", "a=1"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "ordrs.jsonl"], "there is no file ordrs.jsonl (did you mean 'orders.jsonl'?)"),
        (["--from", "."], "is a folder"),
        (["--from", "chains.py"], "the name of chains.py does not tell its format"),
        (["--format", "jsnl"], "--format jsnl: no such format (did you mean 'jsonl'"),
        (["--to", "x.parquet"], "--to-format text"),
        (["--to", "no/x.txt"], "no/x.txt cannot be written: there is no folder no"),
        (["--from", "orders.jsonl", "--to", "orders.jsonl"], "are the same file"),
        (["--limit", "-1"], "-1 is not in the range"),
        (["--lmit", "1"], "'--limit'"),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_written(
    folder: Path, arguments: list[str], said: str
) -> None:
    (folder / "orders.jsonl").write_text("{}\n")
    assert said in refused("run", "chains:prices", *arguments)
    assert (folder / "orders.jsonl").read_text() == "{}\n"


def test_a_wrong_chain_leaves_the_output_as_it_was(folder: Path) -> None:
    (folder / "out.txt").write_text("kept\n")
    refused("run", "chains:nothing", "--to", "out.txt")
    assert (folder / "out.txt").read_text() == "kept\n"


def test_commands_have_near_names_too() -> None:
    assert "there is no command 'rnu' (did you mean 'run'?)" in refused("rnu")


def test_help_shows_examples() -> None:
    assert "rxchain run orders.py:chain --from" in invoke("--help").stdout
    assert "tail -f app.log" in invoke("run", "--help").stdout
