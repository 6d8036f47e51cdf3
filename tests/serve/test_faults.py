"""A failed inference on the real application: one sentence and an id for the client, one traceback for the log."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from multi2vec.engine import loading
from multi2vec.engine.encoder import Encoder
from multi2vec.serve.app import create_app
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings


class Fragile(Encoder):
    """Fails on batches of more than one text, so that the example passes."""

    def encode(self, inputs: Any) -> Any:
        if len(next(iter(inputs.values()))) > 1:
            inputs = {name: array[..., None] for name, array in inputs.items()}
        return super().encode(inputs)


def test_many_requests_one_traceback(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "Encoder", Fragile)
    # One worker and one batch: the first request runs alone, the others fail together.
    service = Service(Settings(model_dir=toy_folder, cache_dir=None, threads=1), Metrics())
    app = create_app(service, lambda error: None)

    async def main() -> list[httpx.Response]:
        await service.load()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            posts = [client.post("/vectorize", json={"texts": [f"cat {n}", "dog"]}) for n in range(4)]
            return await asyncio.gather(*posts)

    with caplog.at_level(logging.ERROR):
        answers = asyncio.run(main())
    for answer in answers:
        assert answer.status_code == 500
        assert answer.json() == {"error": "inference failed; the server's log has the reason"}
        assert answer.headers["x-request-id"]
    failures = [record for record in caplog.records if "inference failed" in record.message]
    assert len(failures) == len(answers)
    tracebacks = [record for record in failures if record.exc_info]
    assert 1 <= len(tracebacks) < len(answers)
    service.close()
