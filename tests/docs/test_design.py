"""The pictures of the rooms in docs/design.md show the layers that the import contracts check."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "docs/design.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = {contract["name"]: contract["layers"] for contract in CONTRACTS if contract["type"] == "layers"}


@pytest.mark.parametrize("name", LAYERS)
def test_a_picture_shows_the_layers_of_its_contract_from_top_to_bottom(name):
    picture = re.search(rf"<!-- layers: {name} -->\n\n```mermaid\nflowchart TB\n(.*?)```", DESIGN, re.DOTALL)[1]
    assert re.findall(r'\["(.*?)"\]', picture) == [layer.replace("|", "·") for layer in LAYERS[name]]
    numbers = range(1, len(LAYERS[name]))
    assert re.findall(r"L(\d+).* --> L(\d+)", picture) == [(str(number), str(number + 1)) for number in numbers]


@pytest.mark.parametrize("room", re.findall(r"^\| ((?:`\w+/?`(?:, )?)+) \|", DESIGN, re.MULTILINE))
def test_a_room_that_is_described_is_there(room):
    for name in re.findall(r"`(\w+)/?`", room):
        found = [*ROOT.glob(f"libs/*/src/*/{name}"), *ROOT.glob(f"libs/*/src/*/{name}.py"), *ROOT.glob(name)]
        assert found, name
