"""A `criu` that does as a test says: `pretender.py SCRIPT swrk FD`, the script a JSON file.

It knows of images only what the script has of them, so that it is quick to start.

It answers questions with the version and features of the script, notes each request for a link, with the
file of options and the environment that go with it, and then takes the script's next behaviour:

- "make" an empty link;
- "fail", or "lose the target", whose end makes it fail, or "fail at the end", when all is approved;
- "die", or "die at the end", when the target has been killed, or "die alone", with a child that lives on;
- "work", which is to write until it cannot, and then to fail;
- "tell nothing" of what it has made.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from engine.images.proto import rpc_pb2
from engine.images.proto.rpc_pb2 import CriuFeatures, CriuNotify, CriuReq, CriuResp, CriuVersion

FAILURE = """\
(00.000001) Error (criu/x.c:1): it did not please me
(00.000002) Error (criu/x.c:2): Dumping FAILED.
"""


def main() -> None:
    script_path, _, descriptor = sys.argv[1:]
    connection = socket.socket(fileno=int(descriptor))
    while packet := connection.recv(1 << 20):
        script = json.loads(Path(script_path).read_text())
        request = CriuReq.FromString(packet)
        if request.type == rpc_pb2.VERSION:
            major, minor = script["version"]
            version = CriuVersion(major_number=major, minor_number=minor)
            answer = CriuResp(type=request.type, success=True, version=version)
        elif request.type == rpc_pb2.FEATURE_CHECK:
            features = CriuFeatures(mem_track=script["mem_track"], lazy_pages=False)
            answer = CriuResp(type=request.type, success=True, features=features)
        else:
            behaviour = script["behaviours"].pop(0)
            noted = MessageToDict(request, preserving_proto_field_name=True)
            config = request.opts.config_file
            noted["config"] = Path(config).read_text() if config else ""
            noted["environment"] = dict(os.environ)
            noted["cwd"] = os.getcwd()
            noted["beside"] = os.listdir(f"/proc/{os.getppid()}/fd/{request.opts.images_dir_fd}/..")
            script["requests"].append(noted)
            Path(script_path).write_text(json.dumps(script))
            made = behave(behaviour, request, connection, script["files"])
            answer = CriuResp(type=request.type, success=made)
        connection.send(answer.SerializeToString())


def behave(behaviour: str, request: CriuReq, connection: socket.socket, files: dict[str, str]) -> bool:
    peer = os.getppid()
    images = Path(f"/proc/{peer}/fd/{request.opts.images_dir_fd}")
    work = Path(f"/proc/{peer}/fd/{request.opts.work_dir_fd}")
    log = work / request.opts.log_file
    match behaviour:
        case "die alone":
            child = os.fork()
            if child == 0:
                signal.pause()
            log.write_text(str(child))
            os.kill(os.getpid(), signal.SIGKILL)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fail" | "lose the target":
            if behaviour != "fail":
                os.kill(request.opts.pid, signal.SIGKILL)
            log.write_text(FAILURE)
            return False
        case "work":
            try:
                while True:
                    (images / "pages-1.img").write_bytes(b"x" * 4096)
                    time.sleep(0.01)
            except OSError:
                return False
    log.write_text("")
    if request.opts.parent_img:
        os.symlink(request.opts.parent_img, images / "parent")
    (images / "inventory.img").write_bytes(bytes.fromhex(files["inventory.img"]))
    if request.type == rpc_pb2.DUMP:
        (images / "pstree.img").write_bytes(bytes.fromhex(files["pstree.img"]))
        notification = CriuNotify(script="post-dump")
        connection.send(CriuResp(type=rpc_pb2.NOTIFY, success=True, notify=notification).SerializeToString())
        if not CriuReq.FromString(connection.recv(1 << 20)).notify_success:
            return False
        if behaviour == "fail at the end":
            return False
        if behaviour == "die at the end":
            os.kill(request.opts.pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "tell nothing":
        return True
    (work / "stats-dump").write_bytes(bytes.fromhex(files["stats-dump"]))
    return True


if __name__ == "__main__":
    main()
