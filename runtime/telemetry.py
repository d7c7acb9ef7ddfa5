"""One JSON line per record, with ids as fields; never a payload, a token or a secret, nor what may hold one:
an exception's text, a local variable, the arguments of a library's message.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import structlog

_encoder = msgspec.json.Encoder(enc_hook=lambda value: type(value).__name__)
"""What is no plain value is told by its type: its `repr` may show anything."""


def _render(_logger: Any, _method: str, record: structlog.typing.EventDict) -> bytes:
    return _encoder.encode(record)


def configure(process: str) -> None:
    """Set up logging for this process; everything goes to standard output as JSON lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_tracebacks_to_text,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


def _drop_tracebacks_to_text(
    _logger: Any, _method: str, record: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Exceptions become their type and place: their texts may carry what must not be logged."""
    error = record.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        record["error"] = type(error).__name__
        frames = []
        step = error.__traceback__
        while step is not None:
            code = step.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno} {code.co_name}")
            step = step.tb_next
        record["at"] = frames[-6:]
    return record


class _ToStructlog(logging.Handler):
    """Sends what libraries log into the same stream; their messages' arguments are left out on purpose, and
    so is what follows the first line: there asyncio writes the failed task with its exception's text.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        message = str(record.msg).partition("\n")[0][:200]
        logger().warning("library", library=record.name, message=message, exc_info=error)


def logger() -> Any:
    """The process's logger: `logger().info("event", key=value)`."""
    return structlog.get_logger()
