"""What people read: terminal, tables, text."""
