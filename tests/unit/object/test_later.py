"""Methods of MODO that are those of its parts, which are imported when one of them is asked for."""

import inspect
import pickle
import pydoc
import subprocess
import sys

import pytest

from modos.object.later import Later
from modos.object.modo import MODO

PARTS = {
    "modos.object.contents": "list_files",
    "modos.object.elements": "add_element",
    "modos.object.gathering": "add_files",
    "modos.object.streaming": "file",
    "modos.object.encryption": "encrypt",
    "modos.object.genomes": "add_track",
}


@pytest.mark.parametrize(("module", "method"), PARTS.items())
def test_a_part_is_imported_when_it_is_asked_for(module, method):
    code = f"import sys; from modos import MODO; before = {module!r} in sys.modules; MODO.{method}; print(before, {module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False True\n"


@pytest.mark.parametrize(("module", "method"), PARTS.items())
def test_a_method_has_the_signature_and_the_words_of_that_of_the_part(module, method):
    found = inspect.unwrap(getattr(MODO, method))
    assert found.__module__ == module
    assert inspect.signature(getattr(MODO, method)) == inspect.signature(found) and inspect.getdoc(getattr(MODO, method))
    assert found.__doc__.splitlines()[0] in pydoc.plain(pydoc.render_doc(MODO))


def test_a_class_of_ones_own_calls_the_method_once(tmp_path):
    class Own(MODO):
        def list_files(self):
            calls.append(self)
            return super().list_files()

    calls = []
    assert Own.create(tmp_path / "ex").list_files() == [] and len(calls) == 1


def test_an_object_is_pickled_before_and_after(tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    assert pickle.loads(pickle.dumps(modo)).find_element("ex") == modo.find_element("ex") == "ex"
    assert pickle.loads(pickle.dumps(modo)).metadata == modo.metadata


def test_what_stands_for_a_class_has_none_of_its_own_names():
    later = Later("modos.object.contents", "Contents")
    assert not hasattr(later, "__wrapped__") and later.load().__name__ == "Contents"
    assert later.list_files().__qualname__ == "Contents.list_files"
