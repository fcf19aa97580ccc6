"""`leash.py PARENT COMMAND...`: becomes COMMAND, which the kernel kills when its parent dies (on Linux).

A script by itself, as it must start fast and import nothing: a setting made between fork and exec would need `preexec_fn`,
which is unsafe beside threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):  # it died before it could be asked after
    sys.exit("the runner died")
os.execvp(sys.argv[2], sys.argv[2:])
