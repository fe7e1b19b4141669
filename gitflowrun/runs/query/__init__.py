"""The runs that people ask for: a language of conditions, and what it asks about."""
