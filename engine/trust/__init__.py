"""Whom we trust with a path.

We mostly run as root, and act on what we find under a name. Whoever may write to a directory can put another
file, directory or symbolic link under any name in it between one look and the next. Everything that is
decided about that is decided here:

- `owners`: who may change a file or a directory.
- `walk`: how a path becomes a descriptor, once, and whether all that led to it is ours.
- `directory`: a directory that was walked to, and is used by its descriptor from then on.
- `files`: programs that we run, and files of options that they obey: as root, root's alone.
- `environment`: what of our environment is handed to programs, and used by ourselves.
- `private`: directories of our own, for what is nobody's business.

Ours is what only root and the user we run as can change.
"""
