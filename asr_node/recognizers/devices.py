"""Which device a model runs on. An engine that falls back to the CPU in silence is no help."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Final

from asr_node.errors import DeviceFailed, StartRefused

CUDA_DRIVER: Final = "libcuda.so.1"
ROCM: Final = Path("/dev/kfd")  # AMD's GPUs, which torch calls CUDA, too


def check_device(asked: str) -> None:
    """What can be known without torch, before anything is started. Raises StartRefused."""
    if asked.startswith("cuda") and sys.platform == "linux" and not _has_gpu_driver():
        why = f"no GPU driver is here (neither {CUDA_DRIVER} nor {ROCM})"
    elif asked == "mps" and sys.platform != "darwin":
        why = "that is a Mac's GPU, and this is no Mac"
    else:
        return
    raise StartRefused(
        f"--device {asked} cannot be had: {why}; nothing was started. Install the driver (in "
        "Docker: --gpus all), or give --device cpu."
    )


def _has_gpu_driver() -> bool:
    try:
        ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return ROCM.exists()
    return True


def torch_device(asked: str) -> str:
    """ "auto" is CUDA, then MPS, then the CPU. Raises DeviceFailed where what was asked for is
    not there."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = torch.backends.mps.is_available()
    match asked:
        case "auto":
            return "cuda:0" if gpus else "mps" if apple else "cpu"
        case "mps" if not apple:
            raise DeviceFailed("device mps was asked for, but torch sees no Apple GPU")
        case "cpu" | "mps":
            return asked
    return f"cuda:{cuda_index(asked, gpus)}"


def cuda_index(asked: str, gpus: int) -> int:
    """The number in "cuda:1"; 0 in "cuda". Raises DeviceFailed where there is no such GPU."""
    index = int(asked.partition(":")[2] or 0)
    if index >= gpus:
        raise DeviceFailed(f"device {asked} was asked for, but there are {gpus} CUDA devices")
    return index
