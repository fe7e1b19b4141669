"""Verbs over runs that return values: query, overview, compare, push, fetch, hooks. Nothing here prints."""
