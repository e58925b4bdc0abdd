"""A small MCP server over stdio, which starts another process. `silent` never answers; `stubborn` ignores SIGTERM."""

import json
import os
import signal
import subprocess
import sys

child = subprocess.Popen(["sleep", "60"])
with open("pids", "a") as pids:
    pids.write(f"{os.getpid()}\n{child.pid}\n")
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

TOOL = {"name": "say", "description": "Says it.", "inputSchema": {"type": "object"}}
for line in sys.stdin:
    message = json.loads(line)
    if "silent" in sys.argv or "id" not in message:
        continue
    method = message["method"]
    if method == "initialize":
        version = message["params"]["protocolVersion"]
        result = {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "small", "version": "1"},
        }
    elif method == "tools/list":
        result = {"tools": [TOOL]}
    else:
        result = {"content": [{"type": "text", "text": "said"}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    if method == "tools/list":
        with open("listed", "w"):
            pass
if "stubborn" in sys.argv:
    signal.pause()
child.terminate()
