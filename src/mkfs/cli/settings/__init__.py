"""One table of settings. The options of all verbs, `docs/CONFIGURATION.md`, `kitfs config show`, and what a config file and the
environment may say are made from it, so that none of them can forget what another one knows.

`setting` says what a row is and `kinds` how a value is written; the rows stand in `registry`, `storage`, `mounting` and `calls`,
and `table` has them all. `options` makes click's options of them, `page` the document.

Secrets are no settings: a row names a file that holds one, never the thing itself.
"""
