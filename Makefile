# Two commands do everything a newcomer needs: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test lint bench pacs-test clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/mammo demo --output_dir demo_output

test: install lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p mammo

bench: install
	for script in benchmarks/*.py; do $(BIN)/python $$script --quick || exit 1; done

# Against a real PACS on this machine (Debian's orthanc and orthanc-dicomweb; fails where they are not), cut off from the
# network, since Orthanc listens on every address.
pacs-test: install
	MAMMO_PACS=1 unshare --net --map-root-user $(BIN)/python -m pytest -p no:xdist tests/pacs

clean:
	rm -rf .venv build dist *.egg-info demo_output outputs
