"""Traps of text models: end tokens, attention, padding, types of tokens, pooling."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel, Qwen2Model

from multi2vec.convert import families
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Model
from tests.checkpoints import text_layouts
from tests.checkpoints.text_tokenizers import END
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS
from tests.convert.texts import (
    Vectors,
    encoded,
    ids,
    inputs,
    largest_cosine,
    sentence_transformer,
    smallest_cosine,
    unit,
    vectors,
)

Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]

DECODERS = ("text of Qwen3", "text of Mistral", "text of Qwen2")
TEXTS = ["a photo of a cat", "two blue dogs run through the snow at night", "猫が好き"]
LONG = "one two three four five six seven eight nine " * 40
EQUAL = 0.99999


def end_of(checkpoint: Path) -> int:
    """The number of the token that a decoder's vector is taken at."""
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    return int(tokenizer.convert_tokens_to_ids("</s>" if "Mistral" in checkpoint.name else END))


class TestEndTokens:
    @pytest.mark.parametrize("layout", DECODERS)
    def test_each_text_has_exactly_one_and_ends_with_it(
        self, converted: Convert, checkpoint: Checkpoint, layout: str
    ) -> None:
        end = end_of(checkpoint(layout))
        for text in [*TEXTS, "", LONG]:
            found = ids(converted(layout).folder, text)
            assert found[-1] == end
            assert found.count(end) == 1

    @pytest.mark.parametrize("layout", DECODERS)
    def test_it_stays_when_a_text_is_cut(self, converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
        end, folder = end_of(checkpoint(layout)), converted(layout).folder
        whole = ids(folder, LONG)
        for truncate, kept in (("end", whole[:8]), ("start", whole[-9:-1])):
            cut = ids(folder, LONG, max_tokens=9, truncate=truncate)
            assert len(cut) == 9
            assert cut[-1] == end
            # Mistral has a token at the beginning, which stays too.
            assert cut[1:-1] == kept[1:]

    def test_a_cut_text_of_qwen3_is_what_its_library_makes_of_it(
        self, converted: Convert, checkpoint: Checkpoint
    ) -> None:
        original = sentence_transformer(checkpoint("text of Qwen3"))
        original.max_seq_length = 16
        expected = encoded(original, [LONG])
        assert smallest_cosine(vectors(converted("text of Qwen3").folder, [LONG], max_tokens=16), expected) > EQUAL
        assert largest_cosine(vectors(converted("text of Qwen3").folder, [LONG]), expected) < 0.999

    @pytest.mark.parametrize("layout", ["text of Mistral", "text of Qwen2"])
    def test_the_library_of_today_leaves_it_out(self, converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
        """Which is why the recipes of these models put it there: their vectors are not those of the library's bare
        tokens, but those of tokens with the end written out."""
        end = "</s>" if "Mistral" in layout else END
        original = sentence_transformer(checkpoint(layout))
        found = vectors(converted(layout).folder, TEXTS)
        assert smallest_cosine(found, encoded(original, [text + end for text in TEXTS])) > EQUAL
        assert largest_cosine(found, encoded(original, TEXTS)) < 0.99

    def test_one_that_the_tokenizer_puts_there_itself_is_not_doubled(
        self, checkpoint: Checkpoint, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(checkpoint("text of Mistral"), tmp_path / "Mistral"))
        file = folder / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        template = tokenizer["post_processor"]
        template["special_tokens"]["</s>"] = {"id": "</s>", "ids": [2], "tokens": ["</s>"]}
        template["single"].append({"SpecialToken": {"id": "</s>", "type_id": 0}})
        file.write_text(json.dumps(tokenizer))
        part = families.load(LAYOUTS["text of Mistral"].recipe, folder).parts["text"]
        assert list(part.reference.prepare("a cat")["input_ids"]).count(2) == 1
        written = json.loads(part.files["tokenizer.json"])["post_processor"]["single"]
        assert [each["SpecialToken"]["id"] for each in written if "SpecialToken" in each] == ["<s>", "</s>"]


class TestAttention:
    def test_tokens_of_gte_qwen2_see_those_after_them(self, converted: Convert, checkpoint: Checkpoint) -> None:
        """Against the model by hand, with a mask that hides nothing, and with one that hides what comes later."""
        folder = checkpoint("text of Qwen2")
        found = vectors(converted("text of Qwen2").folder, TEXTS)
        assert smallest_cosine(found, by_hand(folder, hides_later=False)) > EQUAL
        assert largest_cosine(found, by_hand(folder, hides_later=True)) < 0.99

    def test_so_do_they_where_only_the_recipe_says_so(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        """The tower and the reference, alone and in a batch: without padding transformers makes no mask."""
        folder = Path(shutil.copytree(checkpoint("text of Qwen2"), tmp_path / "silent"))
        file = folder / "config.json"
        config = json.loads(file.read_text())
        assert config.pop("is_causal") is False
        file.write_text(json.dumps(config))
        part = families.load(LAYOUTS["text of Qwen2"].recipe, folder).parts["text"]
        expected = by_hand(folder, hides_later=False)
        assert smallest_cosine(unit(part.reference.rows(TEXTS)["dense"]), expected) > EQUAL
        tokens = [torch.from_numpy(part.reference.prepare(text)["input_ids"]) for text in TEXTS]
        batch = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in tokens], batch_first=True)
        with torch.inference_mode():
            together = part.tower.module(batch, mask)
            alone = part.tower.module(batch[:1, : len(tokens[0])], mask[:1, : len(tokens[0])])
        assert smallest_cosine(unit(together), expected) > EQUAL
        assert smallest_cosine(unit(alone), expected[:1]) > EQUAL

    @pytest.mark.parametrize("layout", ["text of Qwen3", "text of Mistral"])
    def test_those_of_the_other_decoders_do_not(
        self, loaded: Callable[[str], Model], checkpoint: Checkpoint, layout: str
    ) -> None:
        """The state of a token stays when the tokens after it change."""
        module = loaded(layout).parts["text"].tower.module
        encoder: Any = module.encoder
        one, other = torch.tensor([[5, 6, 7, 8, 9]]), torch.tensor([[5, 6, 7, 8, 40]])
        with torch.inference_mode():
            states = [encoder(input_ids=each, attention_mask=torch.ones_like(each))[0] for each in (one, other)]
        assert torch.equal(states[0][:, :4], states[1][:, :4])
        assert not torch.allclose(states[0][:, 4], states[1][:, 4], atol=1e-2)


def by_hand(checkpoint: Path, *, hides_later: bool) -> Vectors:
    """gte-Qwen2's vectors by its layers and a mask of our own: the last token's state, the end token being last."""
    model: Any = Qwen2Model.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    rows = []
    for text in TEXTS:
        tokens = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.convert_tokens_to_ids(END)]])
        length = tokens.shape[1]
        later = torch.full((length, length), -1e9).triu(1) if hides_later else torch.zeros(length, length)
        with torch.inference_mode():
            rows.append(model(input_ids=tokens, attention_mask=later[None, None]).last_hidden_state[0, -1].numpy())
    return unit(np.stack(rows))


class TestPadding:
    @pytest.mark.parametrize("layout", [name for name in LAYOUTS if name.startswith("text of")])
    def test_it_is_on_the_right(self, converted: Convert, layout: str) -> None:
        folder = converted(layout).folder
        batch, lone = inputs(folder, ["a cat", LONG]), ids(folder, "a cat")
        assert batch["input_ids"][0, : len(lone)].tolist() == lone
        assert batch["attention_mask"][0].tolist() == [1] * len(lone) + [0] * (len(batch["input_ids"][0]) - len(lone))

    @pytest.mark.parametrize("layout", DECODERS)
    def test_the_last_real_token_counts(self, converted: Convert, layout: str) -> None:
        """A row beside longer ones is the row alone, and not that of its padding."""
        folder = converted(layout).folder
        short, longer = ["", "a cat", "one two three"], [LONG, LONG * 2]
        together = vectors(folder, [*short, *longer])[: len(short)]
        alone = np.concatenate([vectors(folder, [text]) for text in short])
        assert smallest_cosine(together, alone) > EQUAL

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_the_original_s_batches_agree_on_whichever_side_it_pads(
        self, converted: Convert, checkpoint: Checkpoint, side: str
    ) -> None:
        original = sentence_transformer(checkpoint("text of Qwen3"))
        original.tokenizer.padding_side = side
        expected = encoded(original, [*TEXTS, LONG])
        assert smallest_cosine(vectors(converted("text of Qwen3").folder, [*TEXTS, LONG]), expected) > EQUAL

    def test_its_number_is_the_tokenizer_s(self, converted: Convert) -> None:
        """multilingual-e5-small is a BERT, whose own would be 0, with the tokenizer of XLM-RoBERTa."""
        batch = inputs(converted("text of BERT with XLM-RoBERTa's tokenizer").folder, ["a cat", LONG])
        assert set(batch["input_ids"][0, -8:]) == {1}


class TestTypesOfTokens:
    def test_they_are_those_of_the_original(self, converted: Convert, checkpoint: Checkpoint) -> None:
        """Its tokenizer makes them, and the model would take others if it were given any."""
        folder = checkpoint("text of BERT")
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = BertModel.from_pretrained(folder).eval()
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        with torch.inference_mode():
            rows = [
                model(**{**batch, "token_type_ids": types}).last_hidden_state[:, 0]
                for types in (batch["token_type_ids"], torch.ones_like(batch["token_type_ids"]))
            ]
        found = vectors(converted("text of BERT").folder, TEXTS)
        assert smallest_cosine(found, unit(rows[0])) > EQUAL
        assert largest_cosine(found, unit(rows[1])) < 0.99

    def test_a_tokenizer_that_gives_others_is_refused(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(checkpoint("text of BERT"), tmp_path / "spoilt"))
        file = folder / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        for each in tokenizer["post_processor"]["single"]:
            next(iter(each.values()))["type_id"] = 1
        file.write_text(json.dumps(tokenizer))
        # BERT's own class of tokenizers would put its own template there.
        settings = folder / "tokenizer_config.json"
        names = ["input_ids", "token_type_ids", "attention_mask"]
        written = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names}
        settings.write_text(json.dumps(json.loads(settings.read_text()) | written))
        with pytest.raises(SourceError, match="another type than 0"):
            families.load(LAYOUTS["text of BERT"].recipe, folder)


class TestPooling:
    @pytest.mark.parametrize(
        ("layout", "pool"),
        [("text of BERT", "first"), ("text of XLM-RoBERTa", "mean"), ("text of GTE", "first")],
    )
    def test_it_is_the_pipeline_s(self, loaded: Callable[[str], Model], layout: str, pool: str) -> None:
        heads: Any = loaded(layout).parts["text"].tower.module.heads
        assert heads[0].pool.__name__ == f"_{pool}"

    def test_a_kind_that_the_library_alone_has(self, tmp_path: Path) -> None:
        """The largest value of each dimension, padding left away: by the library's own module."""
        folder = text_layouts.bge(tmp_path / "checkpoint")
        text_layouts.pipeline(folder, "max_tokens", 64, 512)
        part = families.load(LAYOUTS["text of BERT"].recipe, folder).parts["text"]
        expected = unit(part.reference.rows(["a cat"])["dense"])
        token_ids = torch.from_numpy(part.reference.prepare("a cat")["input_ids"])[None]
        padded = torch.nn.functional.pad(token_ids, (0, 3))
        with torch.inference_mode():
            found = part.tower.module(padded, (padded > 0).long())
        assert smallest_cosine(unit(found), expected) > EQUAL
