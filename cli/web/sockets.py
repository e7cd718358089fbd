"""Where a server listens."""

import ipaddress
import os
import socket

from toolkit.errors import UserError

ADDRESS = "127.0.0.1"
_USUAL_PORT = 8000


def bound_socket(port: int | None, address: str = ADDRESS) -> socket.socket:
    """Return a socket that listens at an address: at `port`, or at 8000 or else a free one if it is None.

    UserError for an address that this machine does not have, and when the port asked for is taken.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reason = ""
    for wanted in (_USUAL_PORT, 0) if port is None else (port,):
        bound = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would share the port with whoever holds it
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((address, wanted))
            bound.listen()
        except (OSError, UnicodeError) as error:
            bound.close()
            reason = getattr(error, "strerror", None) or str(error)
        else:
            return bound
    where = f"port {port}" if address == ADDRESS else f"{address}, port {port or 'any'}"
    raise UserError(f"cannot listen at {where}: {reason}; choose another --port, or omit it")


def is_loopback(address: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
