"""Git, hardened: the only folder (with agent/repository.py) that runs git or imports GitPython."""
