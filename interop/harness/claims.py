"""How a Python suite tells what it found: as claims.mjs does, one line of JSON for each claim.

Importing it also keeps the process on this machine: any other address is refused.
"""

import contextlib
import json
import os
import socket
import sys
import traceback

_HERE = {"localhost", "127.0.0.1", "::1"}
_resolve = socket.getaddrinfo


def _resolve_here(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if name not in _HERE:
        raise OSError(f"a suite wanted to reach {name}: only this machine is allowed")
    return _resolve(host, *args, **kwargs)


socket.getaddrinfo = _resolve_here

#: What the runner hands over: the program, its home, what `info` tells, the photographs' paths.
GIVEN = json.loads(os.environ["MACHINA_INTEROP"])


def _tell(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def claim(text):
    """Tries a claim: it holds if the block does not raise."""
    try:
        yield
    except Exception as error:  # whatever a suite raises is a claim that failed
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error}\n{where.filename}:{where.lineno} {where.line}"
        _tell({"claim": text, "ok": False, "why": detail})
    else:
        _tell({"claim": text, "ok": True})


def done():
    """Says that the suite came to its end."""
    _tell({"done": True})
