"""The search for secrets in what a push would send."""
