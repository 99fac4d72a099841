"""GPUs, without an import of torch where no engine has imported it."""

from __future__ import annotations

import re
import sys
from typing import Final

from asr_node.memory import DeviceMemory

# torch has an error of its own for CUDA; cuBLAS, MPS and CTranslate2 only say so in words.
OUT_OF_MEMORY: Final = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)
# "CUDA error: …" is torch's, "CUDA failed with error …" CTranslate2's, the rest that of libraries.
DEVICE_FAILED: Final = re.compile(
    r"(CUDA|HIP|cuDNN|CUDA runtime) error|CUDA failed|No CUDA GPUs|(CUBLAS|CUDNN|CUFFT)_STATUS",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Also where an engine has wrapped the error in one of its own."""
    return _is_or_wraps(error, "OutOfMemoryError", OUT_OF_MEMORY)


def is_device_failure(error: BaseException | None) -> bool:
    """As `is_out_of_memory`, of all that a GPU or its driver fails with."""
    return _is_or_wraps(error, "AcceleratorError", DEVICE_FAILED)


def _is_or_wraps(error: BaseException | None, name: str, words: re.Pattern[str]) -> bool:
    while error is not None:
        names = {kind.__name__ for kind in type(error).__mro__}
        if name in names or (isinstance(error, RuntimeError) and words.search(str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False


def clear_device_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def gpu_memory() -> tuple[DeviceMemory, ...]:
    """Of each GPU that torch holds memory of in this process, used or not. Nothing where
    another library computes: it does not tell."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        if held := torch.cuda.memory_reserved(index):
            free, total = torch.cuda.mem_get_info(index)
            found.append(DeviceMemory(f"cuda:{index}", held, free, total))
    return tuple(found)
