"""README's table of operations is what the operations do."""

from __future__ import annotations

from tests import properties


def test_readme_says_what_is_found():
    readme = properties.README.read_text()
    assert properties.with_table(readme, properties.table()) == readme, "run `python -m tests.properties`"
