"""Files that come with the package: inside the wheel, or in the repository they are built from."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def nginx_templates_dir() -> Path:
    """The folder of nginx.conf.j2 and routing.js."""
    return _find("templates/nginx")


def rollouts_dir() -> Path:
    """The folder of the plans that everyone has: default, cautious, fast."""
    return _find("rollouts")


def _find(name: str) -> Path:
    shipped = _PACKAGE / "data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name
