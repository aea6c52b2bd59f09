# make demo: train on a generated phantom, with and without cleansing, and print the comparison.
# make test: check style and types, run the test suite. Both set everything up by themselves in .venv.
# make coverage: say which lines the tests run.
# make monai-label: make the environment of MONAI Label. make monai-label-test: test the bundle in it (minutes).
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DEMO := runs/demo
DATA := data/phantom_noisy
QUICK := configs/presets/quick.yaml
# The phantom is small: smaller batches make more updates of an epoch. 20 epochs keep the demo below ten minutes.
OPTIONS := --batch_size 8 --max_epochs 20

.PHONY: demo test slow coverage mutants fuzz kills bundles monai-label monai-label-test clean-demo

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	# torch first and alone: a bare requirement could resolve to a build with several GB of CUDA packages.
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(INSTALLED)

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m 'slow and not monai_label'

# Which lines the tests run, those of the commands they start included. TESTS=tests/filtering measures a part.
TESTS := tests
coverage: $(INSTALLED)
	$(BIN)/python -m pytest $(TESTS) -m 'not slow' --cov --cov-report=term:skip-covered --cov-report=html

# Small changes of the filter and the cleanser: do their tests notice? MUTANTS="--files <source>" tries one file.
mutants: $(INSTALLED)
	$(BIN)/python scripts/mutate.py $(MUTANTS)

# Draw 100,000 cases for the properties of tests/fuzz (20 minutes); stopped, it goes on where it was.
fuzz: $(INSTALLED)
	$(BIN)/python scripts/run_fuzz.py --cases 100000 --seed 0

# Kill every command that works long, 200 times in all (hours), and see how it ends.
kills: $(INSTALLED)
	$(BIN)/python scripts/kill_and_restart.py --kills 200 --seed 0

# MONAI Label needs other versions than the bundle: an environment of its own, in .venv-monai-label.
monai-label:
	PYTHON=$(PYTHON) scripts/monai_label/install.sh

monai-label-test: $(INSTALLED) monai-label
	$(BIN)/python -m pytest -m monai_label tests/monai_label

# The project's own bundles as zips, from the trainings in models/.
EXPORT := $(BIN)/python scripts/export_bundle.py --output_dir exports --config_file configs/train.yaml
bundles: $(INSTALLED)
	$(EXPORT) configs/datasets/acdc.yaml $(QUICK) --card docs/cards/cardiac_mr.yaml --run_dir models/cardiac_mr \
	  --scores_of models/cardiac_mr/scored --shrink 1
	$(EXPORT) configs/datasets/liver_ct_slices.yaml $(QUICK) --card docs/cards/liver_ct.yaml --run_dir models/liver_ct \
	  --shrink 2 --batch_size 8 --max_epochs 24 --warmup_epochs 12 --ramp_end_epoch 18 --update_every 4

data/phantom: | $(INSTALLED)
	$(BIN)/python scripts/make_phantom.py --output_dir $@

$(DATA): | data/phantom
	$(BIN)/python scripts/make_noisy_labels.py --dataset_dir data/phantom --output_dir $@ \
	  --recipe configs/noise/paper_alpha70_beta10.yaml --seed 0

# One run: train, then evaluate the best and the last network on the clean test labels.
define train_and_evaluate
	$(BIN)/python -m monai.bundle run training \
	  --config_file "['configs/train.yaml','configs/methods/$(1).yaml','$(QUICK)']" \
	  --dataset_dir $(DATA) --output_dir $(DEMO)/$(1) $(OPTIONS)
	$(BIN)/python -m monai.bundle run evaluating \
	  --config_file "['configs/train.yaml','configs/methods/$(1).yaml','$(QUICK)','configs/evaluate.yaml']" \
	  --dataset_dir $(DATA) --output_dir $(DEMO)/$(1)
endef

demo: $(DATA) clean-demo
	$(call train_and_evaluate,baseline)
	$(call train_and_evaluate,self_cleansing_practical)
	$(BIN)/python scripts/compare_runs.py $(DEMO)/baseline $(DEMO)/self_cleansing_practical
	@echo "figure: $(DEMO)/self_cleansing_practical/figure.png"

clean-demo:
	rm -rf $(DEMO)
