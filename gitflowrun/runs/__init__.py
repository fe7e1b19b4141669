"""Runs as git objects: layout, records, codecs, artifacts, ids, tags, trust.

Only `layout` knows the paths of a run's tree; only `wire` touches msgpack.
"""
