"""Tests. `multi2vec` is imported before all else, so that OpenVINO does not report its use from here."""

import multi2vec as multi2vec
