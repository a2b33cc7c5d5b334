"""Every notebook of the documentation runs in a real kernel, from its first cell to the last, and shows what it should."""

import base64
import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
PICTURES = ROOT / "build" / "notebooks"  # kept by CI, to be looked at
SHOWN = {"cohort": 2, "look": 3}  # pictures


def read_code(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def execute(notebook, folder, monkeypatch):
    """Run a notebook in a kernel of this Python; gives it with its outputs."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs notebooks, which `make test` installs")
    import nbformat

    pytest.importorskip("ipykernel", reason="ipykernel is the kernel of notebooks, which `make test` installs")
    kernels = folder / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernels / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    (folder / "work").mkdir()
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder / "work")}}
    )
    return client.execute() or nbformat


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures_of(notebook):
    return [
        base64.b64decode(output.data["image/png"]) for output in outputs_of(notebook) if "image/png" in output.get("data", {})
    ]


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_its_cells_run(notebook, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the notebooks draw with matplotlib, which the extra `plot` installs")
    import nbformat

    done = execute(nbformat.read(notebook, 4), tmp_path, monkeypatch)
    pictures = pictures_of(done)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, 1):
        (PICTURES / f"{notebook.stem}-{number}.png").write_bytes(picture)
    assert len(pictures) == SHOWN[notebook.stem] and all(len(picture) > 10_000 for picture in pictures)
    wrong = [output for output in outputs_of(done) if output.output_type == "error" or "arning" in output.get("text", "")]
    assert wrong == []
    shown = [output.data for output in outputs_of(done) if "data" in output]
    assert all(" object at 0x" not in data.get("text/plain", "") for data in shown)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_it_holds_no_outputs(notebook):
    """What a cell gave once is not what it gives now; and may be large, or somebody's."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    assert all(
        not cell["outputs"] and cell["execution_count"] is None for cell in content["cells"] if cell["cell_type"] == "code"
    )


SETUP = """
from modos.demo.dataset import generate
from modos.api import MODO
from pathlib import Path
generate(Path("."))
modo = MODO.from_file("modo.yaml", "ex")
"""


@pytest.mark.parametrize(
    "before", ["", "import matplotlib.pyplot as plt", "%matplotlib inline"], ids=["alone", "pyplot", "inline"]
)
def test_a_figure_is_shown_once(tmp_path, monkeypatch, before):
    """By itself, or by the formatter of the inline backend, where something has switched that on."""
    pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib, which the extra `plot` installs")
    nbformat = pytest.importorskip("nbformat", reason="nbformat reads notebooks, which `make test` installs")
    new = nbformat.v4
    cells = [new.new_code_cell(SETUP + before + "\nNone"), new.new_code_cell("modo['data/demo2'].plot('chr1:1-500')")]
    cells.append(new.new_code_cell("figure = modo['data/demo2'].plot('chr1:1-500')"))
    done = execute(new.new_notebook(cells=cells), tmp_path, monkeypatch)
    assert [len(pictures_of(new.new_notebook(cells=[cell]))) for cell in done.cells] == [0, 1, 0]
    assert "image/png" in done.cells[1].outputs[0].data and len(done.cells[1].outputs) == 1


@pytest.mark.parametrize("widgets", [False, True], ids=["text", "widgets"])
def test_progress_is_shown_where_it_is_asked_for(tmp_path, monkeypatch, widgets):
    pytest.importorskip("tqdm", reason="bars are those of tqdm, which the extra `notebook` installs")
    nbformat = pytest.importorskip("nbformat", reason="nbformat reads notebooks, which `make test` installs")
    if widgets:
        pytest.importorskip("ipywidgets", reason="ipywidgets draws widgets, where it is installed")
    new = nbformat.v4
    hide = "" if widgets else "import sys\nsys.modules['ipywidgets'] = None\n"
    cells = [new.new_code_cell(hide + SETUP + "None")]
    cells.append(new.new_code_cell("_ = modo.download('quiet')"))
    cells.append(new.new_code_cell("_ = modo.download('shown', progress=True)"))
    cells.append(new.new_code_cell("_ = list(modo.stream_genomics('demo2.bam', progress=True))"))
    done = execute(new.new_notebook(cells=cells), tmp_path, monkeypatch)
    quiet, copied, streamed = ([*cell.outputs] for cell in done.cells[1:])
    assert quiet == []
    for outputs in (copied, streamed):
        if widgets:
            assert [set(output.data) for output in outputs if "data" in output] == [
                {"application/vnd.jupyter.widget-view+json", "text/plain"}
            ]
        else:
            text = "".join(output.text for output in outputs)
            assert "100%" in text and "MB" in text and "arning" not in text and "IProgress" not in text
