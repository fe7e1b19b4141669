"""Functions for the code of steps, and for other programs: commands of the shell, parallel calls, times."""
