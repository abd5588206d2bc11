# Everything happens in $(VENV), with the versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help env demo test test-slow lint format benchmark study-data notebooks clean

help:
	@echo "make demo            set up, generate data, train with FFT and with Monarch, compare (PDE and MRI, minutes)"
	@echo "make test            set up, lint, types, layers and tests, as CI does"
	@echo "make test-slow       trainings and notebooks as well"
	@echo "make benchmark       speed of the spectral layer and of a training step"
	@echo "make study-data      data of the studies in configs/studies; then: sciml study configs/studies/quick.yaml"
	@echo "make format          what ruff can mend and lay out"
	@echo "make notebooks       run the notebooks anew, in their places"
	@echo "make clean           remove the environment and caches; runs/ and data/ stay"

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,demo]'
	touch $@

DEMO := pde/burgers_quick pde/navier_stokes_quick mri/sense_quick mri/varnet_quick

demo: env
	$(BIN)/sciml data burgers --out data/burgers_quick.h5 --n-samples 500 --grid 128
	$(BIN)/sciml data navier-stokes --out data/navier_stokes_quick.h5 --viscosity 1e-3 --n-samples 80 \
	    --grid 32 --solver-grid 64 --t-final 20 --dt 1e-2
	$(BIN)/sciml data mri --out data/brains_quick --n-subjects 12 --n-val 2 --n-test 4 --grid 96
	for pair in $(DEMO); do \
	    for transform in fft monarch; do \
	        run=runs/demo/$${pair#*/}_$$transform; \
	        $(BIN)/sciml fit --config configs/$${pair}_$$transform.yaml --run_dir $$run --overwrite true && \
	        $(BIN)/sciml test $$run || exit; \
	    done; \
	done
	for name in $(notdir $(DEMO)); do \
	    $(BIN)/sciml compare runs/demo/$${name}_fft runs/demo/$${name}_monarch --out runs/demo/$$name.md || exit; \
	done

test: env lint
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: env
	$(BIN)/pytest -n 2

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: env
	$(BIN)/python benchmarks/spectral_conv.py

study-data: env
	$(BIN)/sciml data burgers --out data/burgers_quick.h5 --n-samples 500 --grid 128
	$(BIN)/sciml data burgers --out data/burgers.h5 --n-samples 1400 --grid 128
	$(BIN)/sciml data navier-stokes --out data/navier_stokes_1e-3_small.h5 --viscosity 1e-3 --n-samples 300 \
	    --grid 32 --solver-grid 64 --t-final 20 --dt 5e-3
	$(BIN)/sciml data mri --out data/brains_study --n-subjects 16 --n-val 6 --n-test 20 --grid 96

notebooks: env
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

# Not runs/ and data/: they are yours.
clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
