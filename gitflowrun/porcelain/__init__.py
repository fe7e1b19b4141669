"""Verbs over runs that return values: query, compare, share. Nothing here prints or asks questions."""
