"""What people type and read: `git runs` and flow files' commands. Only here is printed."""
