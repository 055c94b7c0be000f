"""The generic stack; see stack.py."""

from bedev.sandboxes.stacks.generic.stack import Generic
from bedev.sandboxes.stacks.stack import Stack

STACK: Stack = Generic()
