"""The manual of `git runs`: pages made of Markdown and of the declarations of commands, as roff and as text."""
