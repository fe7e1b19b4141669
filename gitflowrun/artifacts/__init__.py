"""Artifacts: values as payloads, payloads as blobs."""
