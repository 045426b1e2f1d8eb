"""Getting bytes: hosts, credentials, tokens, the HTTP client, ranged reads. Nothing this room hands out is proven yet, except
where a docstring says so.
"""
