"""For each endpoint a body that is answered, and those that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests import toy
from tests.serve.dialects.apis import (
    COHERE,
    INTEL,
    JINA,
    OPENAI,
    OPENAI_AND_COHERE,
    TEI,
    TEI_OUTPUTS,
    TEI_TOKENS,
    WEAVIATE,
    Api,
    Kind,
)

Body = dict[str, Any]

LONG = " ".join(["cat"] * 20)
FOREIGN = [5, 9999]
PICTURE = toy.b64(toy.png(toy.picture(1)))
NO_PICTURE = toy.b64(b"this is not a picture")


def uri(picture: str) -> str:
    """A data URI of what stands for a picture in base64."""
    return f"data:image/png;base64,{picture}"


@dataclass(frozen=True, kw_only=True)
class Form:
    """An endpoint's bodies: one that every model of texts answers, and those that must be refused. None: such a body
    cannot be, or is answered.

    `picture` makes a body of a picture in base64; `is_uri_a_text` says that models of texts take it for one. `prompt`
    and `dimensions` are what is added to the good body. `is_claimed`: among those at its path, the body's keys tell
    whose it is; `kept` are the keys that do, where other values of them would tell otherwise. `is_batched`: there is
    something to be inferred.
    """

    api: Api
    good: Body
    missing: Sequence[Body]
    empty: Sequence[Body]
    many: Body | None
    picture: Callable[[str], Body] | None
    is_uri_a_text: bool = False
    prompt: Sequence[Body]
    dimensions: Body | None
    long: Body | None
    ids: Body | None
    is_batched: bool = True
    is_claimed: bool = False
    kept: tuple[str, ...] = ()

    def of(self, kind: Kind) -> Sequence[Body]:
        """The bodies of a kind that is in the body itself."""
        found: dict[Kind, Sequence[Body | None]] = {
            Kind.MISSING: self.missing,
            Kind.EMPTY: self.empty,
            Kind.TOO_MANY: [self.many],
            Kind.NO_PICTURE: [self.picture(NO_PICTURE)] if self.picture else [],
            Kind.NO_PICTURES: [self.picture(PICTURE)] if self.picture and not self.is_uri_a_text else [],
            Kind.NO_TEXTS: [self.good],
            Kind.PROMPT: [{**self.good, **each} for each in self.prompt],
            Kind.DIMENSIONS: [self.dimensions and {**self.good, **self.dimensions}],
            Kind.TOO_LONG: [self.long],
            Kind.IDS: [self.ids],
        }
        return [body for body in found[kind] if body is not None]


CLIP = Form(
    api=WEAVIATE,
    good={"texts": ["sun"]},
    # It answers with empty lists.
    missing=[],
    empty=[],
    many={"texts": ["a", "b"], "images": [PICTURE, PICTURE]},
    picture=lambda picture: {"images": [picture]},
    prompt=[],
    dimensions=None,
    long={"texts": ["sun", LONG]},
    ids=None,
)
TRANSFORMERS = Form(
    api=WEAVIATE,
    good={"text": "sun"},
    missing=[{}, {"text": None}],
    empty=[],
    many={"texts": ["a"] * 4},
    picture=lambda picture: {"id": "1", "image": picture},
    prompt=[{"config": {"task_type": "other"}}],
    dimensions={"config": {"dimensions": 4}},
    long={"text": LONG},
    ids=None,
)
JINAAI = Form(
    api=JINA,
    good={"input": ["sun"], "embedding_type": "float"},
    missing=[{"embedding_type": "float"}],
    empty=[{"input": [], "embedding_type": "float"}],
    many={"input": ["a"] * 4, "embedding_type": "float"},
    picture=lambda picture: {"input": [{"image": picture}], "embedding_type": "float"},
    prompt=[{"task": "other"}],
    dimensions={"dimensions": 4},
    long={"input": [LONG], "embedding_type": "float"},
    ids=None,
    is_claimed=True,
)
EMBEDDINGS = Form(
    api=OPENAI,
    good={"input": ["sun"]},
    missing=[{}, {"input": None}],
    empty=[{"input": ""}, {"input": []}, {"input": ["a", ""]}, {"input": [[1], []]}, {"messages": []}],
    many={"input": ["a"] * 4},
    picture=lambda picture: {"input": [{"image": picture}]},
    prompt=[{"prompt_name": "other"}, {"input_type": "other"}],
    dimensions={"dimensions": 4},
    long={"input": LONG},
    ids={"input": FOREIGN},
)
EMBED = Form(
    api=TEI,
    good={"inputs": ["sun"]},
    missing=[{}, {"inputs": None}],
    empty=[{"inputs": []}, {"inputs": [[]]}, {"inputs": ["a", []]}],
    many={"inputs": ["a"] * 4},
    picture=lambda picture: {"inputs": uri(picture)},
    is_uri_a_text=True,
    prompt=[{"prompt_name": "other"}],
    dimensions={"dimensions": 4},
    long={"inputs": LONG},
    ids={"inputs": FOREIGN},
)
# Other outputs than dense vectors are those of texts, and have the length that they have.
OUTPUTS = replace(EMBED, api=TEI_OUTPUTS, picture=None, dimensions=None)
TOKENIZE = replace(
    EMBED,
    api=TEI_TOKENS,
    empty=[{"inputs": []}],
    picture=None,
    dimensions=None,
    # Tokens are counted, not cut.
    long=None,
    ids=None,
    is_batched=False,
)
DECODE = replace(
    TOKENIZE,
    good={"ids": [4]},
    missing=[{}, {"ids": None}],
    empty=[{"ids": []}, {"ids": [[1], []]}],
    many={"ids": [[1]] * 4},
    prompt=[],
    ids={"ids": FOREIGN},
)
COHERE_EMBED = Form(
    api=COHERE,
    good={"texts": ["sun"]},
    missing=[{}, {"texts": None}],
    empty=[
        {"texts": []},
        {"images": []},
        {"inputs": []},
        {"inputs": [{"content": []}]},
        {"texts": ["sun"], "embedding_types": []},
    ],
    many={"texts": ["a"] * 4},
    picture=lambda picture: {"images": [picture]},
    prompt=[{"input_type": "other"}],
    dimensions={"output_dimension": 4},
    long={"texts": [LONG]},
    ids=None,
)
INTEL_EMBEDDINGS = Form(
    api=INTEL,
    good={"input": {"type": "text", "text": "sun"}},
    missing=[{"input": {}}, {"input": {"type": "text"}}, {"input": {"type": "image_base64"}}],
    empty=[{"input": {"type": "text", "text": []}}, {"input": {"type": "video_frames", "video_frames": []}}],
    many={"input": {"type": "text", "text": ["a"] * 4}},
    picture=lambda picture: {"input": {"type": "image_base64", "image_base64": picture}},
    prompt=[],
    dimensions=None,
    long={"input": {"type": "text", "text": LONG}},
    ids=None,
    is_claimed=True,
    kept=("input",),
)


def _parts(picture: str) -> Body:
    return {"content": [{"type": "image_url", "image_url": {"url": uri(picture)}}]}


SCORE = Form(
    api=OPENAI,
    good={"queries": "sun", "documents": ["cat"]},
    missing=[{}, {"queries": "sun"}],
    empty=[{"queries": [], "documents": "cat"}, {"queries": "sun", "documents": []}],
    many={"queries": "a", "documents": ["b"] * 3},
    picture=lambda picture: {"queries": "sun", "documents": [_parts(picture)]},
    prompt=[],
    dimensions=None,
    long={"queries": "sun", "documents": [LONG]},
    ids=None,
)
RERANK = replace(
    SCORE,
    good={"query": "sun", "documents": ["cat"]},
    missing=[{}, {"query": "sun"}],
    empty=[{"query": "sun", "documents": []}],
    many={"query": "a", "documents": ["b"] * 3},
    picture=lambda picture: {"query": "sun", "documents": [_parts(picture)]},
    long={"query": LONG, "documents": ["cat"]},
)
POOLING = Form(
    api=OPENAI,
    good={"input": ["sun"]},
    missing=[{}],
    empty=[{"input": []}, {"input": [[]]}, {"messages": []}],
    many={"input": ["a"] * 4},
    picture=lambda picture: {"messages": [{"role": "user", **_parts(picture)}], "task": "embed"},
    prompt=[],
    dimensions={"dimensions": 4, "task": "embed"},
    long={"input": LONG},
    ids={"input": FOREIGN},
)
VLLM_TOKENIZE = Form(
    api=OPENAI,
    good={"prompt": "sun"},
    # Without its keys a body is text-embeddings-inference's.
    missing=[],
    empty=[{"messages": []}],
    many=None,
    picture=None,
    prompt=[],
    dimensions=None,
    long=None,
    ids=None,
    is_batched=False,
    is_claimed=True,
)
DETOKENIZE = replace(
    VLLM_TOKENIZE, good={"tokens": [4]}, missing=[{}], empty=[], ids={"tokens": FOREIGN}, is_claimed=False
)
SIMILARITY = Form(
    api=TEI,
    good={"inputs": {"source_sentence": "sun", "sentences": ["cat"]}},
    missing=[{"inputs": {}}, {"inputs": {"source_sentence": "sun"}}],
    empty=[{"inputs": {"source_sentence": "sun", "sentences": []}}],
    many={"inputs": {"source_sentence": "a", "sentences": ["b"] * 3}},
    picture=lambda picture: {"inputs": {"source_sentence": "sun", "sentences": [uri(picture)]}},
    is_uri_a_text=True,
    prompt=[{"parameters": {"prompt_name": "other"}}],
    dimensions=None,
    long={"inputs": {"source_sentence": LONG, "sentences": ["cat"]}},
    ids=None,
)
TEI_RERANK = replace(
    SIMILARITY,
    good={"query": "sun", "texts": ["cat"]},
    missing=[{"texts": ["cat"]}],
    empty=[{"query": "sun", "texts": []}],
    many={"query": "a", "texts": ["b"] * 3},
    picture=lambda picture: {"query": "sun", "texts": [uri(picture)]},
    prompt=[],
    long={"query": LONG, "texts": ["cat"]},
    is_claimed=True,
)
WEAVIATE_RERANK = replace(
    TEI_RERANK,
    api=WEAVIATE,
    good={"query": "sun", "documents": ["cat"], "property": ""},
    missing=[{"documents": ["cat"], "property": ""}],
    # It answers with an empty list.
    empty=[],
    many={"query": "a", "documents": ["b"] * 3, "property": ""},
    picture=None,
    long={"query": LONG, "documents": ["cat"], "property": ""},
)

# By a dialect's name and its path.
FORMS: Mapping[tuple[str, str], Form] = {
    ("weaviate multi2vec-clip", "/vectorize"): CLIP,
    ("weaviate text2vec-transformers", "/vectors"): TRANSFORMERS,
    ("weaviate multi2vec-jinaai", "/v1/embeddings"): JINAAI,
    ("openai", "/v1/embeddings"): EMBEDDINGS,
    ("openai", "/embeddings"): EMBEDDINGS,
    ("text-embeddings-inference", "/embed"): EMBED,
    ("text-embeddings-inference", "/"): EMBED,
    ("text-embeddings-inference", "/embed_sparse"): OUTPUTS,
    ("text-embeddings-inference", "/embed_all"): OUTPUTS,
    ("text-embeddings-inference", "/tokenize"): TOKENIZE,
    ("text-embeddings-inference", "/decode"): DECODE,
    ("cohere", "/v2/embed"): COHERE_EMBED,
    ("cohere", "/v1/embed"): COHERE_EMBED,
    ("intel", "/embeddings"): INTEL_EMBEDDINGS,
    ("vllm", "/score"): SCORE,
    ("vllm", "/v1/score"): SCORE,
    ("vllm", "/rerank"): RERANK,
    ("vllm", "/v1/rerank"): RERANK,
    ("vllm", "/pooling"): POOLING,
    ("vllm", "/tokenize"): VLLM_TOKENIZE,
    ("vllm", "/detokenize"): DETOKENIZE,
    ("vllm and cohere rerank", "/v2/rerank"): replace(RERANK, api=OPENAI_AND_COHERE),
    ("text-embeddings-inference scores", "/similarity"): SIMILARITY,
    ("text-embeddings-inference scores", "/"): replace(SIMILARITY, is_claimed=True, kept=("inputs",)),
    ("text-embeddings-inference scores", "/rerank"): TEI_RERANK,
    ("weaviate reranker-transformers", "/rerank"): WEAVIATE_RERANK,
}
# By path: whose errors are shown while no body says whose the request is.
OWNERS: Mapping[str, Form] = {path: form for (_, path), form in FORMS.items() if not form.is_claimed}
