# Everything makes its own environment in .venv from constraints.txt; running a target twice installs nothing twice.
BIN := .venv/bin

# PYTHON=/path/to/python3.11 chooses the interpreter; else python3.11, else python3.
export PYTHON

.PHONY: help demo test lint bench clean

help:
	@echo "make demo    install what it needs and run the flights story"
	@echo "make test    install everything and run all tests"
	@echo "make lint    ruff and mypy"
	@echo "make bench   run the benchmarks and write their results"
	@echo "make clean   remove .venv and the state of the demo"

demo:
	@.ci/environment demo
	$(BIN)/mercury demo $(DEMO)

test:
	@.ci/environment test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not (ray or spark or kafka)" $(TESTS)
	$(BIN)/python -m pytest -m "ray or spark or kafka" $(TESTS)

lint:
	@.ci/environment test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench:
	@.ci/environment test
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf .venv .mercury-demo
