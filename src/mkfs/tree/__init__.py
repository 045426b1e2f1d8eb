"""What the user will see: the immutable tree of files and directories, the rules for paths, and what happens when names clash.

Pure and whole: a `Tree` is built once from a plan and the tables of its layers, then only asked. Numbers of inodes depend on the
paths alone, so two processes that mount the same artifact agree on them.
"""
