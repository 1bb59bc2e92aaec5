"""Search through the flag: one call that reads the right column with the right model, before and after the switch."""

from reembed.retrieval.retriever import Hit, Retriever

__all__ = ["Hit", "Retriever"]
