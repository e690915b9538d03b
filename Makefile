# Thin wrappers: each target is the command that the README or CONTRIBUTING.md gives.
.PHONY: demo test lint bench changelog clean

demo:
	python -m pip install . && python -m rxchain demo

test:
	python -m pip install nox && python -m nox

lint:
	python -m nox -s lint

bench:
	python -m nox -s bench

changelog:
	python -m nox -s changelog

clean:
	rm -rf .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist *.egg-info
	find . -name __pycache__ -not -path './.git/*' -type d -prune -exec rm -rf {} +
