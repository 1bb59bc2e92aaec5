"""The built-in embedding server: an OpenAI-compatible provider without account, network or download.

The demo runs on it and the tests run against it, over real HTTP and in a process of its own.
"""
