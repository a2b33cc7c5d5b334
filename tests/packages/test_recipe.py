"""rattler-build reads the recipe of conda, and renders the package that it is for."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.building import ROOT, pip, run

pytestmark = pytest.mark.packages
RENDER = """
import json, sys
import rattler_build as rattler
recipe = rattler.Stage0Recipe.from_file(sys.argv[1])
[variant] = recipe.render(rattler.VariantConfig(), rattler.RenderConfig())
rendered = variant.recipe() if callable(variant.recipe) else variant.recipe
print(json.dumps(rendered.to_dict(), default=str))
"""


def test_the_recipe_renders(tmp_path):
    pip("install", "-q", "--target", tmp_path, "--constraint", ROOT / "constraints.txt", "py-rattler-build")
    said = run(sys.executable, "-c", RENDER, ROOT / "deploy/conda/recipe.yaml", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    rendered = json.loads(said)
    assert rendered["build"]["noarch"] == "python"
    assert rendered["build"]["python"]["entry_points"] == ["modos = modos.cli:main"]
    assert {"python >=3.11", "zarr >=3.0.8", "typer >=0.15,<0.29"} <= set(rendered["requirements"]["run"])
    assert len(rendered["tests"]) == 2
