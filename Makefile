# Short names for the commands that README.md gives in full.
#   make lab                                  install, render the faces, open the course
#   make test                                 every test, and every notebook in the smoke profile
#   make lessons PROFILE=laptop LESSON=02_dcgan   execute lessons and store their outputs (no LESSON: all)
#   make site SOLUTIONS=1                     the course as a static site, in build/site
# For a class (INSTRUCTORS.md):
#   make slides LESSON=02_dcgan               slides of lessons (no LESSON: all)
#   make assignment LESSON=02_dcgan           a notebook of its exercises for students
#   make grades LESSON=02_dcgan FROM=folder   grade the notebooks of a folder
#   make stick OUT=/media/stick               a folder to install from without internet

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= laptop
LESSON ?=
SOLUTIONS ?=
AXES ?=
WEIGHTS ?= progan-toon-64
BIN = $(VENV)/bin/python

# Files cannot be named in a make rule where their folder has a space.
ifneq ($(words $(VENV)),1)
$(error VENV is '$(VENV)'; choose a folder without spaces in its name)
endif
# JupyterLab refuses to run as root unless it is told to, as in most containers.
ROOT = $(if $(filter 0,$(shell id -u 2>/dev/null)),--allow-root)

# Sliders answer sooner with it.
PROMPTLY = gan_course.widgets.server.Promptly

.PHONY: lab test lessons site slides assignment grades stick
.SECONDARY:

lab: $(VENV)/installed-lab data/toon/list_attr_celeba.txt
	$(BIN) -m jupyterlab $(ROOT) --ServerApp.kernel_websocket_connection_class=$(PROMPTLY) notebooks/00_start_here.ipynb

test: $(VENV)/installed-test
	$(BIN) -m pytest

lessons: $(VENV)/installed-test
	$(BIN) tools/lessons.py --profile $(PROFILE) $(LESSON)

site: $(VENV)/installed-$(if $(AXES),test,site)
	$(if $(AXES),$(BIN) -m gan_course page --weights $(WEIGHTS) --axes $(AXES) --out build/site/editor)
	$(BIN) -m sphinx -q -E -d build/doctrees -c tools/site $(if $(SOLUTIONS),-t solutions) $(if $(AXES),-t editor) . build/site

slides: $(VENV)/installed-lab
	$(BIN) tools/slides.py $(LESSON)

assignment: $(VENV)/installed-lab $(VENV)/installed-teach
	$(BIN) tools/assignment.py make $(LESSON)

grades: $(VENV)/installed-lab $(VENV)/installed-teach
	$(BIN) tools/assignment.py grade $(LESSON) "$(FROM)"

stick: $(VENV)/installed-lab $(VENV)/installed-teach
	$(BIN) tools/stick.py "$(OUT)"

data/toon/list_attr_celeba.txt: | $(VENV)/installed-lab
	$(BIN) -m gan_course data toon

$(VENV)/installed-%: pyproject.toml
	@$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(BIN) -m pip install --quiet --editable ".[$*]"
	@touch $@
