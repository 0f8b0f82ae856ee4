"""What CRIU is asked for by RPC (images/rpc.proto) to make one link."""

from __future__ import annotations

import math
import os

from engine.checkpoint.criu.directory import LOG, CriuDirectory
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.obeyed import write_config
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.order import LinkOrder, Terms
from engine.checkpoint.link import After
from engine.images.layout import LinkKind
from engine.images.proto.rpc_pb2 import DUMP, PRE_DUMP, SINGLE_PRE_DUMP, CriuReq


def request_of(
    criu: Criu, chosen: CriuOptions, order: LinkOrder, terms: Terms, directory: CriuDirectory
) -> CriuReq:
    """The request that makes what was ordered.

    Args:
        criu: which one is asked.
        chosen: what the user chose.
        order: what to make.
        terms: what is ours of it.
        directory: where to; a file of options is written into its work directory if one is needed.

    Raises:
        NotSupported, NotTrusted: of the user's file of options; see `write_config`.
    """
    options = chosen.to_message(criu)
    options.images_dir_fd = directory.fileno()
    options.work_dir_fd = directory.work.fileno()
    options.log_file = LOG
    options.pid = order.root.pid
    options.timeout = math.ceil(order.most_frozen_s)
    # Not asked for by any request of ours; a file of options may have set it.
    options.lazy_pages = options.auto_dedup = False
    config = write_config(
        directory.work,
        terms.use,
        chosen.config_file,
        ours=terms.config_lines,
        ends_target=order.kind is LinkKind.DUMP and order.after is After.KILL,
    )
    if config is not None:
        options.config_file = config
    if order.parent is not None:
        options.parent_img = os.path.join(os.pardir, order.parent.name)
    if order.kind is LinkKind.PRE_DUMP:
        # Always said: where tracking is absent CRIU then refuses, instead of aborting in the target.
        options.track_mem = True
        options.leave_running = True
        single = criu.has_single_pre_dump
        return CriuReq(type=SINGLE_PRE_DUMP if single else PRE_DUMP, opts=options)
    options.lazy_pages = terms.leaves_pages
    # A dump without a parent saves everything, and has no reason to clear anybody's bits.
    options.track_mem = order.parent is not None and not terms.leaves_pages
    options.leave_running = order.after is not After.KILL
    options.notify_scripts = True
    return CriuReq(type=DUMP, opts=options)
