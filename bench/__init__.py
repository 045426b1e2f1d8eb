"""Measurements, one program per question: `scripts/bench [QUESTION …]`, or `python -m bench` from the root of the project.

- `startup`: from the `mount` command to a readable directory
- `cold`: the first read of a kit, beside `oras pull` of the same bytes
- `copy`: `cp -a` of all of it out of a new mount, beside the same
- `again`: the second read, from the kernel's page cache, and the first one of a new mount with a warm cache
- `first_byte`: the first KiB of a large layer, with and without a chunk index, on loopback and on a link, beside curl
- `index`: what random reads take from the registry, how large a chunk index is, and the memory it takes to make one
- `listing`: `ls -lR` of ten thousand small files, beside the same tree on the disk

A number of one machine and moment says little; a ratio of two, measured turn by turn in the same run, carries over. So every table
puts a peer beside us, and gives medians with their extremes.
"""
