"""Where it is done: pods, engines and stacks."""
