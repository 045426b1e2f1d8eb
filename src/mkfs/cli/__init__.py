"""The commands. The only room that reads the environment, config files and the terminal; everything below gets it as arguments.

stdout is data, stderr is talk. An error becomes at most three lines and an exit code in one place, `cli.report`.
"""
