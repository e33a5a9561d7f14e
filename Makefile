# Two commands do everything: `make run` and `make test`. The rest are chores.
PYTHON ?= python3
BIN := .venv/bin
# This machine alone; `make run HOST=0.0.0.0` lets others in (docs/SERVING.md). Shells set HOST, too,
# so the environment does not count.
HOST := 127.0.0.1
PORT ?= 8501

.PHONY: run test lint format benchmarks screenshots clean

run: .venv/app.installed  ## install what is missing, then open the app
	@echo "HEAT at http://$(HOST):$(PORT). 127.0.0.1 is this machine alone, make run HOST=0.0.0.0 lets others in (docs/SERVING.md)."
	$(BIN)/streamlit run app/main.py --server.address $(HOST) --server.port $(PORT)

test: .venv/test.installed lint  ## install what is missing, then every check
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/test.installed  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: .venv/test.installed  ## speed against named peers
	$(BIN)/python -m benchmarks

screenshots: .venv/test.installed  ## pictures of every page into shots/ and assets/pages
	$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf .venv

# A stamp is newer than the list it installed, so the second time nothing is installed.
.venv/app.installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/test.installed: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@ .venv/app.installed
