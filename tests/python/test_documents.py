"""Numbers in README.md, docs/python.md and docs/gptq.md are what the programs print."""
import documents


def test_readme(child_environment):
    assert documents.check("README.md", False, child_environment) == 1


def test_page(child_environment):
    assert documents.check("docs/python.md", False, child_environment) == 2


def test_gptq(child_environment):
    assert documents.check("docs/gptq.md", False, child_environment) == 1
