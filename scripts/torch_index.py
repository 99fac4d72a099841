"""Print the pip options that find the torch build asked for: cpu or cuda.

On Linux the default index has only CUDA builds (2.5 GB with what they need); the CPU build
(190 MB) comes from PyTorch's own index. That index is named only where it answers within
3 seconds: pip would try an unreachable one again and again for minutes."""

import os
import sys
import threading
import urllib.request

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def answers(url: str, seconds: float = 3.0) -> bool:
    """Also when it is the name server that hangs, which no timeout of urllib covers."""
    reached: list[bool] = []

    def ask() -> None:
        request = urllib.request.Request(f"{url}/torch/", method="HEAD")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
                reached.append(answer.status < 400)
        except OSError:
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(reached)


def main() -> None:
    build = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    if build not in {"cpu", "cuda"}:
        sys.exit(f"TORCH={build}: say TORCH=cpu or TORCH=cuda")
    index = os.environ.get("TORCH_INDEX") or (CPU_INDEX if build == "cpu" else "")
    if index and (os.environ.get("TORCH_INDEX") or answers(index)):
        print(f"--extra-index-url {index}")
    elif index:
        print(f"torch: {index} does not answer; asking pip's own indexes alone", file=sys.stderr)


if __name__ == "__main__":
    main()
