"""Whether a chain is sound: whether the memory at its end can be read, and is complete.

This is the one place that says so. Whatever uses a chain, or promises to, asks here first: `flatten`, a
restore, a chain that is continued. It costs one reading of every pagemap, a few seconds for ten million
runs of pages, and of what a dump says of its processes; pages are not read, their files are only
measured. It takes as much memory as a few MiB of pagemaps, however large they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from engine.errors import BadImage
from engine.images import limits
from engine.images.files import open_image
from engine.images.layout import INVENTORY, PARENT, STATS, LinkKind, mm_name, pagemap_pid, pages_name
from engine.images.link import ImageChain, Link
from engine.images.pagemap import PagemapImage
from engine.images.tree import damage, mapped_pages, tree_problems
from engine.images.windows import PagemapCursor, windows
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.printable import printable


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that makes a chain unsound."""

    path: Path
    """The link."""
    text: str
    """What is wrong with it: one line, printable, beginning with the file it is about."""


@dataclass(frozen=True, slots=True)
class Soundness:
    """What is known of a chain once all of it has been looked at."""

    problems: tuple[Problem, ...]
    """Everything that is wrong, oldest link first; empty if it is sound."""
    size_bytes: int
    """Of the memory at its end, as far as that could be read."""
    lacks_old_lengths: bool
    """Whether CRIU before 4.2 would take memory for empty (see `PagemapImage.lacks_old_lengths`)."""


def verify(chain: ImageChain) -> tuple[Problem, ...]:
    """Everything that is wrong with a chain, oldest link first; empty if it is sound.

    Checked are, in each link: that its images are plain files; that every pagemap can be read, ascends,
    and has a pages file of just its size to itself, or with others that list the same, of what is in
    common; that the parent lists each page left to it; that the statistics are those of the files. And
    in each dump: that the processes of its tree, and no others, have their memory, their mappings, which
    enclose that memory, and the registers of all their threads. And that no newer link lies beside the
    chain, incomplete.

    Raises:
        UnknownFormat: it is newer than what we understand, and cannot be judged.
    """
    return examine(chain).problems


def require_sound(chain: ImageChain) -> Soundness:
    """Make sure that a chain is sound, before anything is made of it.

    Raises:
        BadImage: it is not; the message says what is wrong with it first, and how much more is.
        UnknownFormat: it is newer than what we understand.
    """
    found = examine(chain)
    if found.problems:
        first, *others = found.problems
        more = f", and {len(others)} more" if others else ""
        raise BadImage(f"the chain is not sound: {printable(str(first.path))}: {first.text}{more}")
    return found


def examine(chain: ImageChain) -> Soundness:
    """Look at all of a chain. Errors as of `verify`."""
    reports = [_Report(link) for link in chain.links]
    places: dict[str, list[int]] = {}
    for at, link in enumerate(chain.links):
        for name in link.pagemap_names:
            places.setdefault(name, []).append(at)
    for name in sorted(places):
        _examine_pagemaps(name, places[name], reports)
    problems = list(islice(_problems(reports, chain.incomplete), limits.PROBLEMS + 1))
    if len(problems) > limits.PROBLEMS:
        problems[-1] = Problem(chain.links[-1].path, "more is wrong than is told here")
    sums = [listed for report in reports for listed in report.listed.values()]
    return Soundness(
        tuple(problems),
        sum(listed.covered for listed in reports[-1].listed.values()) << PAGE_SHIFT,
        any(listed.lacks_old_lengths for listed in sums),
    )


def _problems(reports: list[_Report], incomplete: tuple[Path, ...]) -> Iterator[Problem]:
    for report in reports:
        told: set[str] = set()
        for text in report.lines():
            if text not in told:  # a file that is none may be met twice
                told.add(text)
                yield Problem(report.link.path, text)
    yield from (Problem(path, f"{STATS} is missing: the link is incomplete") for path in incomplete)


class _Count:
    """Pages of one kind: how many, and which is the first."""

    def __init__(self) -> None:
        self.pages = 0
        self.first = 0

    def add(self, pages: PageSet) -> None:
        if pages and not self.pages:
            self.first = int(pages.starts[0])
        self.pages += pages.count

    def __bool__(self) -> bool:
        return self.pages > 0

    def __str__(self) -> str:
        return f"{self.pages}, the first at {self.first << PAGE_SHIFT:#x}"


class _Counts:
    """What one pagemap lists, counted while it is read."""

    def __init__(self, pages_id: int, mapped: PageSet | None) -> None:
        self.pages_id = pages_id
        self.covered, self.present, self.holes, self.promised = _Count(), _Count(), _Count(), _Count()
        self.lost = _Count()
        """Holes that the parent does not list."""
        self.unmapped = _Count()
        self.lacks_old_lengths = False
        self._mapped = mapped

    def add(self, part: PagemapImage) -> None:
        """Count a stretch of it."""
        self.covered.add(part.covered)
        self.present.add(part.present)
        self.holes.add(part.in_parent)
        self.promised.add(part.promised)
        if self._mapped is not None and part.covered:
            near = self._mapped.clip(int(part.covered.starts[0]), int(part.covered.ends[-1]))
            self.unmapped.add(part.covered - near)
        self.lacks_old_lengths |= part.lacks_old_lengths

    def sums(self) -> _Listed:
        return _Listed(
            self.pages_id, self.covered.pages, self.present.pages, self.holes.pages, self.lacks_old_lengths
        )


class _Listed(NamedTuple):
    """What is kept of that: there may be hundreds of thousands of pagemaps."""

    pages_id: int
    covered: int
    """Pages, as of `present` and `holes`."""
    present: int
    holes: int
    lacks_old_lengths: bool


@dataclass(slots=True)
class _Report:
    """What there is to say of one link."""

    link: Link
    listed: dict[str, _Listed] = field(default_factory=dict)
    """By the name of each pagemap that can be read."""
    unreadable: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    tree: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """All of it, in a fixed order."""
        if INVENTORY not in self.link.names:
            yield f"{INVENTORY} is missing"
        if self.link.absolute_parent:
            yield (
                f"{PARENT} is absolute ({printable(self.link.absolute_parent)}): "
                "it leads elsewhere once the chain is moved"
            )
        for name in self.link.other_names:
            try:
                with open_image(self.link.path / name):
                    pass
            except BadImage as error:
                yield damage(error, self.link)
        yield from self.unreadable
        yield from self._pages_files()
        yield from self.holes
        if not self.unreadable:
            yield from self._stats()
        if self.link.kind is LinkKind.DUMP:
            yield from tree_problems(self.link)
            yield from self.tree

    def _pages_files(self) -> Iterator[str]:
        owners: dict[str, str] = {}
        for name, listed in self.listed.items():
            pages = pages_name(listed.pages_id)
            if pages in owners:
                if not (self.link.is_part and self._list_the_same(owners[pages], name)):
                    yield f"{pages} is claimed both by {owners[pages]} and by {name}"
                continue
            owners[pages] = name
            try:
                with open_image(self.link.path / pages) as fd:
                    size_bytes = os.fstat(fd).st_size
            except BadImage as error:
                yield damage(error, self.link)
                continue
            expected_bytes = listed.present << PAGE_SHIFT
            if size_bytes != expected_bytes:
                yield f"{pages} has {size_bytes} bytes; {name} says {expected_bytes}"
        if not self.unreadable:
            for pages in self.link.pages_names:
                if pages not in owners:
                    yield f"{pages} belongs to no pagemap"

    def _list_the_same(self, *names: str) -> bool:
        """Whether these pagemaps have data of the same pages."""
        cursors = [PagemapCursor(self.link.path / name, len(names)) for name in names]
        return all(len({part.present for part in parts}) == 1 for parts in windows(cursors))

    def _stats(self) -> Iterator[str]:
        stats = self.link.stats
        if stats is None:
            yield "stats-dump tells of no dump"
            return
        for of_process, label, written, in_parent in (
            (True, "", stats.pages_written, stats.pages_skipped_parent),
            (False, " of shared memory", stats.shpages_written, stats.shpages_skipped_parent),
        ):
            counted = [
                listed
                for name, listed in self.listed.items()
                if (pagemap_pid(name) is not None) is of_process
            ]
            # Of what is in common several list the same pages, in one file.
            present = sum({listed.pages_id: listed.present for listed in counted}.values())
            holes = sum(listed.holes for listed in counted)
            if written != present:
                yield f"stats-dump says {written} pages{label} were written; the pagemaps list {present}"
            if in_parent != holes:
                yield f"stats-dump says {in_parent} pages{label} are in the parent; the pagemaps list {holes}"


def _examine_pagemaps(name: str, places: list[int], reports: list[_Report]) -> None:
    """Read all pagemaps of one name in step, and note what is wrong with each.

    Args:
        name: of the files.
        places: which links have one, ascending.
        reports: of all links.
    """
    cursors: dict[int, PagemapCursor] = {}
    counts: dict[int, _Counts] = {}
    for at in places:
        report = reports[at]
        try:
            cursors[at] = PagemapCursor(report.link.path / name, len(places))
        except BadImage as error:
            report.unreadable.append(damage(error, report.link))
            continue
        counts[at] = _Counts(cursors[at].pages_id, _mapped(report, name))
    for parts in windows(list(cursors.values())):
        younger, holes = -1, EMPTY
        for at in reversed(cursors):
            part = parts.pop()  # so that what is made of it goes, too
            counts[at].add(part)
            if younger == at + 1:
                counts[younger].lost.add(holes - part.covered)
            younger, holes = at, part.in_parent
    for at, cursor in cursors.items():
        if cursor.error is not None:
            reports[at].unreadable.append(damage(cursor.error, reports[at].link))
        else:
            reports[at].listed[name] = counts[at].sums()
    for at, counted in counts.items():
        if name in reports[at].listed:
            _note(name, counted, reports[at], reports[at - 1] if at else None)


def _mapped(report: _Report, name: str) -> PageSet | None:
    """The mappings of a dumped process, as far as they are known."""
    pid = pagemap_pid(name)
    if pid is None or report.link.kind is not LinkKind.DUMP:
        return None
    try:
        return mapped_pages(report.link, pid)
    except BadImage as error:
        report.tree.append(damage(error, report.link))
        return None


def _note(name: str, counts: _Counts, report: _Report, parent: _Report | None) -> None:
    """What is wrong with what a pagemap lists."""
    if counts.promised:
        report.holes.append(f"{name}: pages left to a server of lazy pages: {counts.promised}")
    if counts.unmapped:
        mm = mm_name(pagemap_pid(name) or 0)
        report.tree.append(f"{name}: pages in no mapping of {mm}: {counts.unmapped}")
    if not counts.holes:
        return
    if parent is None:
        report.holes.append(f"{name}: pages left to the parent, and there is no parent: {counts.holes}")
    elif name not in parent.link.names:
        report.holes.append(f"{name}: pages left to the parent, which has no {name}: {counts.holes}")
    elif counts.lost and name in parent.listed:  # what cannot be read is told of the parent itself
        report.holes.append(f"{name}: pages left to the parent, which does not list them: {counts.lost}")
