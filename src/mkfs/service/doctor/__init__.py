"""What `kitfs doctor` looks at: one list of checks (`checks`), each made of two functions.

    gathering/   facts of this machine: reads /proc and /sys, makes system calls, asks the registry. Says nothing about them
    judging/     facts in, a `Finding` out: ok, warn or fail, what was found, what to do about it. Pure
    loaders      what to tell the programs that read models, from the files of an artifact. Pure
    children     the time limit: facts are gathered in processes that can be killed, as a stuck NFS or DNS holds up whoever asks it
    examining    all of it together, in the order of the list

A new check is one entry of `checks.CHECKS`. Nothing of this machine is changed by looking.
"""
