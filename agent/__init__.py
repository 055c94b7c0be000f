"""Who decides: commands, runs, the gate and its reports."""
