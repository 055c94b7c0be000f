"""Runs in the sandbox beside the application; see settings.py."""
