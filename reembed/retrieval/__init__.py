"""Search through the flag: one call that reads the right column with the right model, before and after the switch."""

from reembed.retrieval.asynchronous import AsyncRetriever
from reembed.retrieval.program import Hit
from reembed.retrieval.retriever import Retriever
from reembed.retrieval.statements import Statement, statement

__all__ = ["AsyncRetriever", "Hit", "Retriever", "Statement", "statement"]
