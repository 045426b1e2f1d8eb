"""One mounted process: how it is started, says that it is ready, logs, and stops.

A mount is one daemon. The command forks it off first of all (never later: locks and threads do not survive a fork), hands it its
settings on stdin, and waits on a pipe for one message: ready, or the error with its exit code. After that message the two share
nothing.
"""
