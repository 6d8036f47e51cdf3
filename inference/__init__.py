"""multi2vec-openvino: text, pictures and video to vectors, one compiled model per container image."""

__version__ = "0.1.0"
