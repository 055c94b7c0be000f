"""The Laravel stack; see stack.py."""

from bedev.sandboxes.stacks.laravel.stack import Laravel
from bedev.sandboxes.stacks.stack import Stack

STACK: Stack = Laravel()
