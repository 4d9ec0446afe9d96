"""The program with torch in README.md prints what it says."""
import documents


def test_readme(child_environment):
    assert documents.check("README.md", True, child_environment) == 1


def test_calibrate(child_environment):
    assert documents.check("docs/calibrate.md", True, child_environment) == 1
