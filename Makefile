# Two commands do everything a newcomer needs: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3
BIN := .venv/bin
CORE := .venv/.core
INSTALLED := .venv/.installed
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: install demo test lint bench faults pacs-test deploy-check label-check federated-check docs docs-test release-check clean

install: $(INSTALLED)

$(CORE): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(PIP) -e .
	touch $@

$(INSTALLED): $(CORE)
	$(PIP) -e '.[dev]'
	touch $@

# What a user installs, without the tools of development.
demo: $(CORE)
	$(BIN)/mammo demo --output_dir demo_output

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p mammo

bench: install
	$(BIN)/python benchmarks/suite.py

# Kills, full disks, damaged and hostile files, dead workers and two runs at a time, on real processes; writes docs/faults.md.
# `make faults QUICK=1` takes a few minutes and writes nothing.
faults: install
	$(BIN)/python -m benchmarks.faults $(if $(QUICK),--quick)

# Every command block of README and the docs, on small phantoms; not part of `make test`.
docs-test: install
	$(BIN)/python -m mammo.tools.docs_test --jobs 2

# The site, in docs/_build/html; without network once installed.
docs: install
	$(PIP) -e '.[docs]'
	$(BIN)/python -m sphinx -b html -W --keep-going -q -c docs/site -d docs/_build/doctrees . docs/_build/html

# Wheel, sdist, bounds, licences and versions, in environments of their own (many gigabytes). Needs the package index.
release-check: install
	$(BIN)/python -m mammo.tools.release

# Against a real PACS on this machine (Debian's orthanc and orthanc-dicomweb; fails where they are not), cut off from the
# network, since Orthanc listens on every address.
pacs-test: install
	MAMMO_PACS=1 unshare --net --map-root-user $(BIN)/python -m pytest -p no:xdist tests/pacs

# MONAI Deploy in an environment of its own (4 GB): it wants other versions than constraints.txt has. Fails where the App SDK
# cannot be installed. holoscan warns of a stack below 32 MB.
deploy-check: .venv-deploy/.installed
	ulimit -s 32768 || true; .venv-deploy/bin/python examples/monai_deploy/check.py

.venv-deploy/.installed: setup.cfg pyproject.toml constraints.txt examples/monai_deploy/requirements.txt
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --upgrade pip
	grep -vE '^(protobuf|ml_dtypes)==' constraints.txt > .venv-deploy/constraints.txt
	.venv-deploy/bin/python -m pip install --quiet -c .venv-deploy/constraints.txt -r examples/monai_deploy/requirements.txt \
		-e '.[hospital,export]' || { echo 'deploy-check: the MONAI Deploy App SDK cannot be installed, pip says why above; it' \
		'needs Linux and Python 3.10 to 3.13' >&2; exit 1; }
	touch $@

# MONAI Label in an environment of its own (4 GB, Python 3.11), since it holds pydicom below 3; with Debian's orthanc and
# orthanc-dicomweb, cut off from the network.
label-check: install .venv-label/.installed
	unshare --net --map-root-user $(BIN)/python examples/monai_label/check.py

.venv-label/.installed: examples/monai_label/requirements.txt examples/monai_label/requirements-alone.txt
	$(PYTHON) -m venv .venv-label
	.venv-label/bin/python -m pip install --quiet -r examples/monai_label/requirements.txt
	.venv-label/bin/python -m pip install --quiet --no-deps -r examples/monai_label/requirements-alone.txt -e .
	touch $@

# Federated averaging under NVIDIA FLARE, in an environment of its own. The ports of its simulator have no password: no network.
federated-check: .venv-federated/.installed
	OMP_NUM_THREADS=1 unshare --net --map-root-user .venv-federated/bin/python examples/federated/check.py

.venv-federated/.installed: setup.cfg pyproject.toml constraints.txt examples/federated/requirements.txt
	$(PYTHON) -m venv .venv-federated
	.venv-federated/bin/python -m pip install --quiet -c constraints.txt -r examples/federated/requirements.txt -e . || \
		{ echo "federated-check: NVIDIA FLARE cannot be installed, pip says why above" >&2; exit 1; }
	touch $@

clean:
	rm -rf .venv .venv-* build dist *.egg-info demo_output outputs
