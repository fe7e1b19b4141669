"""Runs found: lists, and addresses."""
