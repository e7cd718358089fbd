"""Artefacts on the hub people share models on (huggingface_hub, the extra `hub`): references, fetching, sharing."""
