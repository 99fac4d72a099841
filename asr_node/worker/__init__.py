"""The processes that hold the model, and what keeps them going.

A crash in native code, a leak or the kernel's out-of-memory killer ends one of them and not the
node. `main` and `operations` run in the worker; everything else runs in the node's own process,
which never imports torch.
"""
