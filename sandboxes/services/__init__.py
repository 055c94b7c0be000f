"""Servers beside the database, one file each; see service.py."""
