"""Cores for debuggers, made of links: ELF files as the kernel's own (core(5), fs/binfmt_elf.c).

`process` says what a core is made of, `from_images` reads that out of a chain, `selection` decides which
memory goes into it, `notes` and `elf` lay it out, `writer` writes it, and `live` makes one of a process that
runs, with one short stop.
"""
