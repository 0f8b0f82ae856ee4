"""Tells what a dump of a tree of processes would meet. It only reads: nothing is touched.

`reader` reads the facts once, as `facts` describes them. The modules named for what they look at
(`descriptors`, `sockets`, `mappings`, `namespaces`, …) say, without judging it, which `Rule` each thing
falls under. `rules` is the one table of these, with CRIU's version and source beside each.
`judge` makes findings of both, for one CRIU and the options that it is given.
"""
