"""What is installed, from what, and by which commands."""

import ast
import os
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_INSTALLED = {"dev"}  # serves the checkout, not the user of the package
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def applies(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def declared() -> list[Requirement]:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]


def test_every_package_and_module_is_listed():
    listed = PYPROJECT["tool"]["setuptools"]
    assert listed["packages"]["find"]["include"] == ["translate*", "models*"]
    for package in ("models", "translate"):  # setuptools finds only folders that have an __init__.py
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            assert (folder / "__init__.py").is_file(), folder
    assert {path.stem for path in ROOT.glob("*.py")} - NOT_INSTALLED == set(listed["py-modules"])


def test_the_tree_has_a_line_for_every_module():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = guide.partition("\n    models/  ")[2].partition("\n    benchmarks/")[0]
    models, _, translate = tree.partition("    translate/")
    for package, text in (("models", models), ("translate", translate)):
        files = {path.relative_to(ROOT / package).as_posix() for path in (ROOT / package).rglob("*.py")}
        listed = re.findall(r"^      (\S+\.py) ", text, re.MULTILINE)
        assert sorted(listed) == sorted(name for name in files if not name.endswith("__init__.py"))


def test_no_module_imports_itself_through_others_and_no_arrow_goes_back():
    """cli, app -> translate -> models: what is imported only for annotations does not count."""
    arrows: dict[str, set[str]] = {}
    for path in [*ROOT.glob("*.py"), *(ROOT / "translate").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        arrows[name] = imported(ast.parse(path.read_text(encoding="utf-8")))
    arrows = {name: {one for one in found if one in arrows} for name, found in arrows.items()}
    assert not [(a, b) for a in arrows for b in arrows[a] if a.startswith("models") and not b.startswith("models")]
    assert not [(a, b) for a in arrows for b in arrows[a] if a.startswith("translate") and b in ("cli", "app")]
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


def imported(tree: ast.AST) -> set[str]:
    """The modules that code imports, at the top or later."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found |= imported(node)
    return found


def test_weights_cards_and_the_looks_of_the_page_are_shipped():
    kinds = {"models": (".safetensors", ".md"), "translate": (".css", ".js", ".html")}
    assert (ROOT / "models" / "weights" / "trunk").is_dir()
    for package, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        files = [path for path in (ROOT / package).rglob("*") if path.suffix in kinds[package]]
        assert len(files) >= 3
        for path in files:
            assert any(path.relative_to(ROOT / package).match(pattern) for pattern in patterns), path


def test_the_extra_evaluate_is_what_measuring_asks_for():
    from translate.metrics.extra import MODULES

    asked = {canonicalize_name(name) for name in MODULES.values()}
    declared = {
        canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["optional-dependencies"]["evaluate"]
    }
    assert asked == declared


def test_the_package_cannot_be_uploaded_to_an_index():
    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_package_has_one_pin_within_its_range(python):
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        found = [pin for pin in pins() if canonicalize_name(pin.name) == name and applies(pin, python)]
        assert len(found) == 1, f"{name} on Python {python}"
        (specifier,) = found[0].specifier
        assert requirement.specifier.contains(specifier.version), f"{found[0]} is not within {requirement}"


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_each_name_once(python):
    names = [canonicalize_name(pin.name) for pin in pins() if applies(pin, python)]
    assert len(names) == len(set(names))


def test_constraints_are_exact_versions_without_addresses():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|^-", text, re.MULTILINE)
    for pin in pins():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert "+" not in specifier.version
        assert "*" not in specifier.version


def test_dev_script_needs_the_standard_library_only():
    imported: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported
    assert imported <= set(sys.stdlib_module_names)


def test_dev_script_can_be_parsed_by_a_python_too_old_to_run_it():
    """So that such a Python gets a sentence about its version, not a syntax error."""
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def ci_command() -> str:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -eu" in lines
    return lines[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no executable bit")
def test_ci_script_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_runs_the_test_command_of_the_readme():
    assert ci_command() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_workflow_runs_the_ci_script_and_names_no_package_index():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "- run: .ci/run" in workflow
    assert "- run: mkdocs build --strict" in workflow
    assert "index-url" not in workflow
    assert "http" not in workflow


def test_the_citation_names_the_version_and_the_forms_can_be_read():
    import yaml

    from translate import __version__

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__ and cited["license"] == PYPROJECT["project"]["license"]
    for form in ("bug.yml", "question.yml"):
        read = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / form).read_text(encoding="utf-8"))
        asked = [part for part in read["body"] if part["type"] != "markdown"]
        assert read["name"] and read["description"] and all(part["attributes"]["label"] for part in asked)


@pytest.mark.parametrize("panel", sorted(path.name for path in (ROOT / "docs" / "panels").iterdir()))
def test_the_panels_figures_are_those_of_its_votes(panel: str) -> None:
    """README and card say what `panel --tally` counts, of one pass (-fast), too; of a task that is no direction,
    docs/uses.md."""
    pytest.importorskip("scipy", reason="the extra evaluate is not installed")
    from translate.panel.tally import tally_folder

    counted = tally_folder(ROOT / "docs" / "panels" / panel)
    assert counted.share is not None and counted.low is not None and counted.high is not None
    share = f"{100 * counted.share:.0f} % ({100 * counted.low:.0f} to {100 * counted.high:.0f})"
    figures = f"| {counted.votes_a} | {counted.votes_b} | {share} | {counted.grade_a:.1f} | {counted.grade_b:.1f} |"
    card = ROOT / "models" / "cards" / f"{panel.removesuffix('-fast')}.md"
    for file in (ROOT / "README.md", card) if card.exists() else (ROOT / "docs" / "uses.md",):
        rows = [row for row in file.read_text(encoding="utf-8").splitlines() if row.startswith(f"| {panel} | ")]
        assert len(rows) == 1 and figures in rows[0], f"{file.name} should say {figures}"
