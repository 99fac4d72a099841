"""Uploads become samples, in processes of their own.

FFmpeg reads what strangers send: a crash in it, a file that it never ends with, or one that takes
it over must not be the node's. And its work must not keep the event loop from Python's global
lock. `main`, `audio` and `ffmpeg` run in a decoder; everything else runs in the node's own
process.
"""
