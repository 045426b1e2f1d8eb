"""Measurements, one program per question: `scripts/bench [QUESTION …]`, or `python -m bench` from the root of the project.

- `startup`: from the `mount` command to a readable directory
- `cold`: the first read of a kit, beside everybody who brings the same bytes
- `copy`: `cp -a` of all of it out of a new mount, beside `oras pull`
- `again`: the second read, from the kernel's page cache, and the first one of a new mount with a warm cache
- `warm`: a read after the mount's pages were dropped, with the cache's files in the page cache and on the disk only
- `patterns`: every way in which loaders read, cold and warm, with all counters
- `mmap`: tensors by page faults in the order of their names, beside the read in order
- `processes`: eight processes that read the same files at the same time, beside one
- `link`: how much of a link with slow start we use, beside one connection and eight
- `load`: from the command to a loaded model over a link, by real libraries
- `small`: sixty-one small layers over a link
- `layers`: a hundred layers, until the directory can be read
- `first_byte`: the first KiB of a large layer, with and without a chunk index, on loopback and on a link, beside curl
- `index`: what random reads take from the registry, how large a chunk index is, and the memory it takes to make one
- `listing`: `ls -lR` of ten thousand small files, beside the same tree on the disk

A number of one machine and moment says little; a ratio of two, measured turn by turn in the same run, carries over. So every table
puts a peer beside us, and gives medians with their extremes. docs/benchmarks keeps results, with a picture of each.
"""
