"""The example scripts run and say what they should; so do the code blocks of the documentation."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(script: str) -> str:
    """What an example prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
    return printed.getvalue()


def test_digits_pipeline_reaches_95_percent():
    accuracy = re.search(r"accuracy\s+(\S+)\s+360", run("digits_pipeline.py"))
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.95


def test_sigmoid_regression_is_the_same_in_numpy_and_fastnn():
    printed = run("sigmoid_regression.py")
    rows = [[float(word) for word in line.split()] for line in printed.splitlines()[1:]]
    assert [row[0] for row in rows] == [1, 2, 5, 10, 100, 1000]
    for _, plain, ones, bias in rows:
        assert plain == pytest.approx(ones, abs=2e-6)
        assert plain == pytest.approx(bias, abs=2e-6)
    losses = [row[1] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.03


def test_sigmoid_page_shows_what_the_example_prints():
    page = (ROOT / "docs" / "sigmoid-regression.md").read_text(encoding="utf-8")
    assert run("sigmoid_regression.py") in page


def test_scikit_learn_page_shows_the_example_and_runs(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", "1.9", reason="of the sklearn extra")
    page = (ROOT / "docs" / "scikit-learn.md").read_text(encoding="utf-8")
    script = (ROOT / "examples" / "scikit_learn.py").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    printed = run("scikit_learn.py")
    shown = re.findall(r"```text\n(.*?)```", page, re.S)
    assert "".join(shown).split() == printed.split()
    plots = re.findall(r"\(figures/(.*?)\)", page)
    assert sorted(plots) == sorted(path.name for path in tmp_path.iterdir())
    assert all((ROOT / "docs" / "figures" / plot).exists() for plot in plots)
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    others = [block for block in blocks if block not in script]
    assert len(blocks) - len(others) == 4
    names: dict[str, object] = {}
    for block in others:
        exec(compile(block, "scikit-learn.md", "exec"), names)


def test_digits_csv_is_what_its_script_writes(tmp_path):
    script = (ROOT / "examples" / "data" / "make_digits.py").read_text(encoding="utf-8")
    (tmp_path / "make_digits.py").write_text(script, encoding="utf-8")
    runpy.run_path(str(tmp_path / "make_digits.py"), run_name="__main__")
    committed = ROOT / "examples" / "data" / "digits.csv"
    assert (tmp_path / "digits.csv").read_bytes() == committed.read_bytes()


@pytest.mark.parametrize("page", ["README.md", "docs/user-guide.md"])
def test_python_blocks_of_the_documentation_run(page, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    assert blocks
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert list(tmp_path.glob("*.fastnn")), "the page saves a model"


def test_readme_opens_with_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```\w*\n(.*?)```", readme, re.S)
    assert first is not None
    train, test = first[1].splitlines()
    assert train.endswith("fastnn train examples/data/digits.csv --target digit")
    assert test.endswith("pytest")
