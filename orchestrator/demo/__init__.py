"""`reembed demo`: a whole migration on real documents, with nothing installed but the wheels."""
