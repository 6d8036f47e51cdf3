"""What families make their parts of: the original libraries' towers, tokenizers and processors, told to OpenVINO and to
the engine."""
