"""Reading a page's examples, and comparing answers with what it shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests import pages

PAGE = """\
Words.

<!-- server: a key -->
```sh
curl
```

```json
[…]
```

<!-- other -->
<!-- needs: the internet, and more -->
```python
print()
```

Then

```
no answer
```

```yaml
a: b
```
"""


def test_blocks() -> None:
    first, second = pages.blocks(PAGE)
    assert (first.language, first.code, first.line) == ("sh", "curl\n", 3)
    assert (first.marks, first.answer_language, first.answer) == ({"server": "a key"}, "json", "[…]\n")
    assert (second.language, second.answer) == ("python", "")
    assert second.marks == {"needs": "the internet, and more"}


@pytest.mark.parametrize(
    ("shown", "got"),
    [
        ("…", {"any": 1}),
        ("[…]", []),
        ("[0.30, …]", [0.304, 2.0, 3.0]),
        ("[[…], […]]", [[1], [2, 3]]),
        ('{"a": 1, "b": {…}, "c": …}', {"a": 1, "b": {"d": 1}, "c": None}),
        ('"begin… end"', "begin, and so on, end"),
        ('{"a": 1, …}', {"a": 1, "b": 2}),
        ("[null, true, 3]", [None, True, 3]),
    ],
)
def test_the_same(shown: str, got: Any) -> None:
    assert not list(pages.differing(pages.read(shown), got))


@pytest.mark.parametrize(
    ("shown", "got", "place"),
    [
        ("[0.30, …]", [0.33], "$[0]"),
        ("[0.30, …]", [], "$"),
        ("[[…]]", [[1], [2]], "$"),
        ('{"a": 1}', {"a": 1, "b": 2}, "$"),
        ('{"a": 1, …}', {"b": 2}, "$"),
        ('{"a": {"b": 1}}', {"a": {"b": 2}}, "$.a.b"),
        ('"begin …"', "other", "$"),
        ("[3]", [True], "$[0]"),
        ("[3]", [3.0], "$[0]"),
        ("{}", [], "$"),
    ],
)
def test_not_the_same(shown: str, got: Any, place: str) -> None:
    assert [each.split()[0] for each in pages.differing(pages.read(shown), got)] == [place]


def test_lines() -> None:
    pages.assert_same_lines("(2, 128)\n[0.30]\n", "(2, 128)\n[0.304321]\n")
    for other in ("(3, 128)\n[0.30]", "(2, 128)\n[0.33]", "(2, 128)", "shape (2, 128)\n[0.30]"):
        with pytest.raises(AssertionError):
            pages.assert_same_lines("(2, 128)\n[0.30]\n", other)
