"""Decides who is trusted with a path.

dirtytop mostly runs as root, and acts on what it finds under a name. Whoever may write to a directory
can put another file, directory or symbolic link under any name in it between one look and the next.
Everything that is decided about this is decided here:

- `owners`: who may change a file or a directory.
- `walk`: how a path becomes a descriptor, once, and whether all that led to it is ours.
- `directory`: a directory that is reached once, by a walk, and used by its descriptor from then on.
- `files`: programs that we run, and files of options that they obey: as root, root's alone.
- `environment`: which part of the environment is used, and handed to programs.
- `private`: directories that only dirtytop can enter.

Ours is what only root and the user we run as can change.
"""
