import pytest

from multi2vec.serve.edge import clean_path, request_id


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/vectorize", "", "/vectorize"),
        ("/vectorize/", "", "/vectorize"),
        ("//vectorize", "", "/vectorize"),
        ("///.well-known//ready//", "", "/.well-known/ready"),
        ("/", "", "/"),
        ("//", "", "/"),
        ("/clip/vectorize", "/clip", "/vectorize"),
        ("/clip//vectorize/", "/clip", "/vectorize"),
        ("/clip", "/clip", "/"),
        ("/clipper/vectorize", "/clip", "/clipper/vectorize"),
        ("/vectorize", "/clip", "/vectorize"),
        ("/a/b/meta", "/a/b", "/meta"),
    ],
)
def test_paths(path: str, prefix: str, expected: str) -> None:
    assert clean_path(path, prefix) == expected


@pytest.mark.parametrize("value", ["abc-123", "a/b.c:d+e=", "x" * 128])
def test_a_harmless_request_id_is_kept(value: str) -> None:
    assert request_id({"headers": [(b"x-request-id", value.encode())]}) == value


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "é", 'a"b', "a\x1b[31m"])
def test_any_other_is_replaced(value: str) -> None:
    made = request_id({"headers": [(b"x-request-id", value.encode("latin-1"))]})
    assert made != value
    assert len(made) == 32
