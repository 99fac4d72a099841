"""What the node's processes have in common, whether they hold the model or decode uploads.

`child` is the node's side; `conduct` runs in the process itself.
"""
