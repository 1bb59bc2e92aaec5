"""The documents as a site: make docs."""

project = "reembed"
author = "the reembed authors"
html_title = "reembed"

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
html_theme = "furo"
exclude_patterns = ["_build"]

# Links between the documents name headings as GitHub does
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
# Pygments' SQL knows no $1
suppress_warnings = ["misc.highlighting_failure"]
