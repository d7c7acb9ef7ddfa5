"""The console's own files, read once: scripts, styles, icon. Never a file that the table does not hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from api import errors

STATIC = Path(__file__).with_name("static")
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served; `version` changes with its bytes."""

    body: bytes
    content_type: str
    version: str


def _read() -> dict[str, Asset]:
    found = {}
    for file in sorted(STATIC.rglob("*")):
        if file.suffix in _TYPES:
            body = file.read_bytes()
            version = hashlib.sha256(body).hexdigest()[:12]
            found[file.name] = Asset(body, _TYPES[file.suffix], version)
    return found


ASSETS = _read()


def url(name: str) -> str:
    """Where a file is to be had, with its version, so that it may be kept for ever."""
    return f"/console/static/{name}?v={ASSETS[name].version}"


async def serve(request: web.Request) -> web.Response:
    """One file of the console."""
    asset = ASSETS.get(request.match_info["name"])
    if asset is None:
        raise errors.not_found()
    answer = web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8")
    kept = request.query.get("v") == asset.version
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
    answer.enable_compression()
    return answer
