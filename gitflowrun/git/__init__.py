"""Git itself: objects, packs, refs, snapshots, remotes. Nothing here is about runs.

Only this package imports pygit2 or runs git.
"""
