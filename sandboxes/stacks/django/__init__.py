"""The Django stack; see stack.py."""

from bedev.sandboxes.stacks.django.stack import Django
from bedev.sandboxes.stacks.stack import Stack

STACK: Stack = Django()
