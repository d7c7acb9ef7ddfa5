"""Whether a port can be listened on; asked before something is started that would share it or fail late."""

from __future__ import annotations

import errno
import socket


def fault(host: str, port: int) -> str | None:
    """Why nothing can listen on `host:port`, in a few words; None when something can.

    Asked as one that does not share: receivers of another fleet that share the port are found too.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count
            probe.bind(address)
    except socket.gaierror:
        return f"{host} is not an address of this machine"
    except OSError as error:
        return f"{host}:{port} cannot be used ({error.strerror or error})"
    return None


def setting(process: str, error: OSError) -> str:
    """The setting of `process` (INGEST, API) that is to blame when listening failed: the port, where its host
    is one of this machine.
    """
    no_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
    return f"{process}_{'HOST' if no_host else 'PORT'}"
