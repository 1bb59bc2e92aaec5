"""reembed moves a pgvector table to a new embedding model while production keeps reading and writing."""
