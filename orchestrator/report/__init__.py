"""The judgement as a page to pass round: one file, nothing to load, readable on a phone and in the dark."""
