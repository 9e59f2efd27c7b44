"""Runs the Synapse of FOLDER for as long as somebody holds a lock on FOLDER/users, and LINGER seconds more.

Locks go with their processes, however these end; the server goes with this one.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1

folder, start_lock, linger = sys.argv[1], sys.argv[2], float(sys.argv[3])
libc = ctypes.CDLL(None)


def opened(path):
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def nobody_uses_it():
    """Whether nobody does now. Then nobody comes any more either: who comes waits for the lock of starts."""
    fcntl.flock(start, fcntl.LOCK_EX)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        fcntl.flock(start, fcntl.LOCK_UN)
        return False


users, start = opened(f"{folder}/users"), opened(start_lock)
with open(f"{folder}/out", "ab") as out:
    server = subprocess.Popen(
        [sys.executable, "-m", "synapse.app.homeserver", "-c", f"{folder}/homeserver.yaml"],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )
while True:
    fcntl.flock(users, fcntl.LOCK_EX)
    fcntl.flock(users, fcntl.LOCK_UN)
    time.sleep(linger)
    if nobody_uses_it():
        break
server.terminate()
try:
    server.wait(20)
except subprocess.TimeoutExpired:
    server.kill()
    server.wait()
shutil.rmtree(folder, ignore_errors=True)
