"""The server to compare with: transformers' CLIP behind FastAPI, one request at a time.

    python -m tests.benchmarks.reference --checkpoint DIR --port 8081

It works as Weaviate's own container for multi2vec-clip does: requests go to a thread pool, where one lock is held from
the decoding of the picture to the vector; weights and arithmetic are float32, threads are torch's default. In one thing
it is faster than that container: no graph for gradients is built.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel
from transformers import CLIPModel, CLIPProcessor


class VectorizeRequest(BaseModel):
    """Texts, and pictures in base64."""

    texts: list[str] = []
    images: list[str] = []


class Reference:
    """The model and its lock."""

    def __init__(self, checkpoint: Path) -> None:
        self._model = CLIPModel.from_pretrained(checkpoint).eval()
        self._processor = CLIPProcessor.from_pretrained(checkpoint)
        self._lock = Lock()

    def vectorize(self, wanted: VectorizeRequest) -> dict[str, list[list[float]]]:
        """Blocks until it is this request's turn."""
        with self._lock, torch.inference_mode():
            return {
                "textVectors": self._texts(wanted.texts) if wanted.texts else [],
                "imageVectors": self._pictures(wanted.images) if wanted.images else [],
            }

    def _texts(self, texts: list[str]) -> list[list[float]]:
        inputs = self._processor(text=texts, return_tensors="pt", padding=True, truncation=True)
        return _unit(self._model.get_text_features(**inputs).pooler_output)

    def _pictures(self, pictures: list[str]) -> list[list[float]]:
        inputs = self._processor(images=[_open(picture) for picture in pictures], return_tensors="pt")
        return _unit(self._model.get_image_features(**inputs).pooler_output)


def _open(picture: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    return image if image.mode == "RGB" else image.convert("RGB")


def _unit(vectors: torch.Tensor) -> list[list[float]]:
    rows: list[list[float]] = (vectors / vectors.norm(dim=-1, keepdim=True)).tolist()
    return rows


def create_app(checkpoint: Path) -> FastAPI:
    """Listens once the model is loaded."""
    models: list[Reference] = []
    threads = ThreadPoolExecutor()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        models.append(Reference(checkpoint))
        yield
        threads.shutdown(cancel_futures=True)

    app = FastAPI(lifespan=lifespan)

    @app.get("/.well-known/live", status_code=204, response_class=Response)
    @app.get("/.well-known/ready", status_code=204, response_class=Response)
    async def ready() -> None: ...

    @app.get("/meta")
    async def meta() -> dict[str, Any]:
        return {"model": "reference"}

    # Annotated without a return type, so that FastAPI serialises it as it does for that container.
    @app.post("/vectorize")
    async def vectorize(wanted: VectorizeRequest):  # type: ignore[no-untyped-def]
        return await asyncio.wrap_future(threads.submit(models[0].vectorize, wanted))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 500)

    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = create_app(options.checkpoint)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", timeout_keep_alive=120)


if __name__ == "__main__":
    main()
