"""Looks at a tree of processes, touches nothing, and tells what a dump of it would meet.

`reader` reads the facts once, as `facts` describes them. The modules named for what they look at
(`descriptors`, `sockets`, `mappings`, `namespaces`, …) say what there is, without a judgement: which `Rule`
each thing falls under. `rules` is the one table of these, with CRIU's version and source beside
each. `judge` makes findings of both, for one CRIU and the options that it is given.
"""
