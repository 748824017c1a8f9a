# make demo    install, train the bundled CNN under the monitor, print what it used
# make test       install what the tests need and run them all
# make test-fast  the tests that need nothing but Python, in under two minutes
# make check   lint, types, layers
# make pyz     build hpcwatch.pyz, one file for places without pip
# make dist    build the sdist and the wheels, and check them
# make docs    build the documentation site into build/site; a broken link is an error
# make bench   measure overhead, accuracy and behaviour beside other tools (minutes)

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What is compiled is kept, whatever the caller's environment says: tests start hpcwatch often, and
# each of pytest's processes would rewrite all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast check bench pyz dist docs clean

demo: $(VENV)/.train
	$(BIN)/hpcwatch run -- $(BIN)/python trainers/mnist_cnn.py

# What measures no time runs side by side on two cores, more at a time the more of them wait.
FAST = tests/unit tests/findings tests/views tests/parse
# Some of FAST count the processes and modules of the one they run in. None of WHOLE runs in it: each
# process there imports TensorFlow as it looks for tests, and may start the shell of transport/guard.py.
PURE = tests/fuzz tests/browser tests/driver/test_driver.py tests/sweep/test_array_jobs.py \
    $(patsubst %,tests/trainers/test_trainers_%.py,data input) \
    $(patsubst %,tests/sweep/test_sweep_%.py,gpus outcome parameters thresholds) $(FAST)
WHOLE = tests/trainers/test_trainers_training.py tests/sweep/test_sweep_hosts.py \
    tests/nodes/test_ssh_left.py tests/sweep/test_sweep_local.py tests/sweep/test_sweep_cut_off.py \
    $(patsubst %,tests/trainers/test_%.py,keras_monitor trainers_hparam trainers_parts trainers_events \
        trainers_plots) \
    tests/driver/test_gpu_end_to_end.py tests/driver/test_gpu_exported.py tests/prometheus \
    $(patsubst %,tests/nodes/test_%.py,bundle members_captured probe_program probe_tails probe_wish \
        pyz_nodes ssh_break ssh_config ssh_intake ssh_keys ssh_login ssh_reach ssh_verdicts \
        transport_process) \
    $(patsubst %,tests/real/test_%.py,completion disk_full golden_screens isolated live_tmux \
        old_python packaging_pyz packaging_recipes packaging_workflows panel_tmux replay_tmux) \
    $(patsubst %,tests/sweep/test_sweep_%.py,array array_live live many_slots notify once runs \
        sharing states walltime)
# A cluster and a virtual machine, each on its own, and tests that wait for a program to have run for
# some seconds: they see nothing of each other. The machine takes most of two cores.
LANES = tests/cluster tests/vm \
    $(patsubst %,tests/nodes/test_%.py,watch job_end job_exported job_picker job_recorded job_reports) \
    tests/driver/test_cancel_idle_gpus.py tests/driver/test_on_real_gpu.py tests/nodes/test_jobs_watch.py \
    $(patsubst %,tests/real/test_%.py,pace_run whole_job notify_run events_run)
# The others measure times or memory, or look for all processes of a user: one at a time.
ALONE = $(addprefix --ignore=,$(PURE) $(WHOLE) $(LANES))
# Each file, or lane of files (tests/lanes.py), runs in one process. They start in the order given,
# those that take long first; xdist's own order, by the number of tests, begins long files with few
# tests last.
SIDE_BY_SIDE = --dist loadfile --no-loadscope-reorder
# Real clusters, terminals and browsers share two cores here: a test that fails is run once more, and
# the summary names it (RERUN). One that needs this on a quiet machine has a fault: mend it.
RERUN = --reruns 1 -rfEsR

test: $(VENV)/.dev $(VENV)/.train
	$(BIN)/python -m pytest -n 4 $(SIDE_BY_SIDE) $(RERUN) $(PURE)
	$(BIN)/python -m pytest -n 4 $(SIDE_BY_SIDE) $(RERUN) $(WHOLE)
	$(BIN)/python -m pytest -n 3 $(SIDE_BY_SIDE) $(RERUN) $(LANES)
	$(BIN)/python -m pytest $(RERUN) $(ALONE)

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n 4 $(SIDE_BY_SIDE) $(FAST)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --no-tips --target=3.6- --violations hpcwatch/probe
	$(BIN)/vermin --quiet --no-tips --backport typing --exclude tomllib --target=3.9- --violations hpcwatch

bench: $(VENV)-bench/.done
	PATH="$(CURDIR)/$(VENV)-bench/bin:$$PATH" $(VENV)-bench/bin/python tests/bench

# What it holds besides hpcwatch must suit any Python: pip takes the pure packages of the oldest.
PYZ_PACKAGES = build/pyz-packages

pyz: $(PYZ_PACKAGES)/.done
	$(PYTHON) packaging/pyz/build.py --packages $(PYZ_PACKAGES) -o hpcwatch.pyz

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --quiet --strict

# As they are uploaded: the wheel is built from the sdist, and both are checked.
dist: $(VENV)/.release
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m build --no-isolation --outdir dist packaging/mnist
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

$(PYZ_PACKAGES)/.done: $(BIN)/python pyproject.toml
	$(PIP) --upgrade --target $(PYZ_PACKAGES) --no-deps --no-compile --only-binary=:all: \
	    --platform any --implementation py --abi none --python-version 3.9 \
	    'rich>=13' 'nvidia-ml-py>=12' 'tomli>=2'
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9) and "hpcwatch needs Python 3.9 or newer; say: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(BIN)/python pyproject.toml
	$(PIP) ./packaging/mnist --editable '.[train]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.docs: $(BIN)/python pyproject.toml
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.release: $(BIN)/python pyproject.toml
	$(PIP) --editable '.[release]'
	touch $@

# A copy of its own, compiled as users have it: an editable one would be timed with its detours.
$(VENV)-bench/.done: pyproject.toml $(shell find hpcwatch -name '*.py')
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench build dist
