"""Git itself: objects, packs, refs, snapshots, remotes. Nothing here knows what a run is.

Only this package imports pygit2 or runs git.
"""
