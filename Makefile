PYTHON ?= python3
VENV := .venv
PEER := .venv-peer
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all stack test-stack bench schema clean

demo: $(VENV)/.demo
	$(VENV)/bin/modos demo

test: $(VENV)/.test | $(PEER)/.done
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not stack"

test-all: $(VENV)/.test | $(PEER)/.done
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MODOS_ALL=1 ALL_FAULTS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not stack"

stack: $(VENV)/.stack
	deploy/native/install
	deploy/native/stack up

test-stack: $(VENV)/.test
	deploy/native/install
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pytest -n 2 --dist loadscope -m stack

bench: $(VENV)/.test
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python tests/benchmarks/run.py

schema: $(VENV)/.test
	$(VENV)/bin/python schema/generate.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.stack: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo,stack]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo,test]'
	touch $@

# sdsc-ordes modos, whose objects and whose reader some tests are about; they are skipped where it cannot be installed
$(PEER)/.done:
	-$(PYTHON) -m venv $(PEER) && $(PEER)/bin/pip install --quiet --disable-pip-version-check --no-compile --retries 1 'modos==0.3.4' pynacl && touch $@

clean:
	rm -rf $(VENV) $(PEER) build dist *.egg-info
