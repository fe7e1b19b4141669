"""A directory for `PYTHONPATH`: interpreters that programs start find this package as Metaflow there."""
