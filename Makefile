PYTHON ?= python3
VENV := .venv
PEER := .venv-peer
NEXTFLOW := build/nextflow.classpath
WITHIN := not stack and not browser and not packages and not containers
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo check test test-all stack test-stack test-browser test-packages test-containers docs bench schema clean

demo: $(VENV)/.demo
	$(VENV)/bin/modos demo

check: $(VENV)/.test $(VENV)/.check
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: $(VENV)/.test | $(PEER)/.done $(NEXTFLOW)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_SEED=$${MODOS_SEED:-$$(date +%F)} $(VENV)/bin/python -m pytest -n 2 --dist worksteal --durations=15 --durations-min=5 -m "$(WITHIN)"

test-all: $(VENV)/.test | $(PEER)/.done $(NEXTFLOW)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_ALL=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "$(WITHIN)"

stack: $(VENV)/.stack
	deploy/native/install
	deploy/native/stack up

test-stack: $(VENV)/.test
	deploy/native/install
	deploy/helm/install
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_ALL=1 $(VENV)/bin/python -m pytest -n 2 --dist loadscope -m stack

# with the system's Chromium (MODOS_CHROMIUM, /usr/bin/chromium); screenshots are left in build/screenshots
test-browser: $(VENV)/.test
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_ALL=1 $(VENV)/bin/python -m pytest -n 2 --dist loadscope -m browser tests/browser

# the wheel and the sdist, in an empty environment of each Python from 3.11 on that is found
test-packages: $(VENV)/.test
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_ALL=1 $(VENV)/bin/python -m pytest -n 2 -m packages tests/packages

# as root, with podman, buildah, runc and debootstrap; where the kernel forbids containers it says so, and fails
test-containers: $(VENV)/.test
	$(PIP) --editable '.[containers]'
	deploy/native/install
	deploy/containers/build
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_ALL=1 $(VENV)/bin/python -m pytest -m containers --durations=10 tests/containers

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "the pages are in build/site: open build/site/index.html"

bench: $(VENV)/.test
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python benchmarks/run.py

schema: $(VENV)/.test
	$(VENV)/bin/python schema/generate.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo,igv]'
	touch $@

$(VENV)/.stack: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo,igv,stack]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo,test]'
	touch $@

$(VENV)/.check: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[check]'
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	touch $@

# sdsc-ordes modos, whose objects and whose reader some tests are about; they are skipped where it cannot be installed
$(PEER)/.done:
	-$(PYTHON) -m venv $(PEER) && $(PEER)/bin/pip install --quiet --disable-pip-version-check --no-compile --retries 1 'modos==0.3.4' pynacl && touch $@

# Nextflow, which runs the example workflow; the tests of it are skipped where Java or Maven are not there
$(NEXTFLOW): tests/support/nextflow.xml
	-mvn -q -B -f $< org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath -Dmdep.outputFile=$(CURDIR)/$@

clean:
	rm -rf $(VENV) $(PEER) build dist *.egg-info
