# SPDX-License-Identifier: Apache-2.0
"""Ports for servers that cannot be told to choose one themselves."""

import contextlib
import random
import socket

BELOW = 32768  # from there on the kernel gives them to whoever connects, until the server is up
claims = []  # kept as long as this process


def claim(port):
    """Whether it is nobody's: a port that was found is free until its server is up, and others look meanwhile."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        s.bind(f"\0sluice-test-port-{port}")
    except OSError:
        s.close()
        return False
    claims.append(s)
    return True


def free_ports(n):
    """Of no other test; at random, as tests run side by side."""
    found = []
    with contextlib.ExitStack() as stack:
        while len(found) < n:
            s = stack.enter_context(socket.socket())
            port = random.SystemRandom().randrange(BELOW // 3, BELOW)
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                if claim(port):
                    found.append(port)
    return found


def free_port():
    return free_ports(1)[0]
