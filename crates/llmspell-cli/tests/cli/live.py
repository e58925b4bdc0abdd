"""Scenes of the live view, each on a pseudo-terminal. Usage: live.py PROGRAM SCENE, in a folder with f.yaml and in.jsonl."""

import json
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 4, "docs", "pictures"))
from terminal import Program  # noqa: E402

RUN = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--report", "none"]
# Changes that the program would have to undo: modes of the terminal, the other screen, a hidden cursor.
CHANGES = [b"\x1b[?25l", b"\x1b[?1049h", b"\x1b[?7l", b"\x1b[r", b"\x1b[?1000h"]


def start(*more, width=80, height=24, **env):
    base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return Program([sys.argv[1], *RUN, *more], width, height, env={**base, "TERM": "xterm-256color", **env})


def need(holds, what, program):
    if not holds:
        sys.exit(f"{what}; the screen:\n{program.screen.text()}\neverything written:\n{program.raw!r}")


def until_shown(program, *words):
    shown = program.run(20, until=lambda p: all(word in p.screen.text() for word in words))
    need(shown, f"never shown: {words}", program)


def frame():
    program = start()
    until_shown(program, "step ", "fetch", "store", "/4", " in flight", "retry", "#")
    need(b"\x1b[3" in program.raw, "no colours", program)
    before = program.screen.updates
    program.run(1)
    need(2 <= program.screen.updates - before <= 11, f"{program.screen.updates - before} frames in a second", program)
    need(max(map(len, program.screen.lines())) < 80, "too wide", program)
    code = program.end()
    need(code in (0, 3), f"exit code {code}", program)
    left = program.screen.text()
    need(left.startswith("demo: 120 records in ") and "in flight" not in left, "the frame is left behind", program)
    need(not any(change in program.raw for change in CHANGES), "the terminal is changed", program)


def no_color():
    program = start(NO_COLOR="1")
    until_shown(program, "fetch", " in flight")
    program.end()
    need(not re.search(rb"\x1b\[[0-9;]*m", program.raw), "coloured", program)


def dumb():
    program = start(TERM="dumb")
    until_shown(program, "records done, ")
    program.end()
    need(b"\x1b" not in program.raw, "a dumb terminal is commanded", program)


def resize():
    program = start(width=100)
    until_shown(program, "p95", "fetch")
    program.resize(46, 8)
    program.run(0.5)
    rows = [row for row in program.raw.decode("utf-8", "replace").split("\x1b[?2026h")[-1].split("\r\n")]
    plain = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", row).strip("\r") for row in rows]
    need(len(plain) <= 8, f"{len(plain)} lines on 7", program)
    need(max(map(len, plain)) < 46, "too wide", program)
    program.end()


def interrupt():
    program = start()
    until_shown(program, "fetch", " in flight")
    program.type("\x03")
    until_shown(program, "stopping: ", "in flight will finish")
    code = program.end()
    need(code == 130, f"exit code {code}", program)
    left = program.screen.text()
    need("incomplete: " in left and "step " not in left, "the frame is left behind", program)
    need(not any(change in program.raw for change in CHANGES), "the terminal is changed", program)

    program = start("--force")
    until_shown(program, "fetch", " in flight")
    program.type("\x03")
    until_shown(program, "stopping: ")
    program.type("\x03")
    code = program.end()
    need(code == 130, f"exit code {code}", program)
    need("stopping immediately" in program.screen.text(), "not printed", program)


def suspend():
    program = start()
    until_shown(program, "fetch", " in flight")
    program.send(signal.SIGSTOP)
    program.run(0.4)
    stood = len(program.screen.rows)
    # The shell says something meanwhile.
    program.screen.feed(b"[1]+  Stopped   demo\r\n$ fg\r\n")
    program.send(signal.SIGCONT)
    program.run(5, until=lambda p: p.screen.text().rfind("fetch") > p.screen.text().find("$ fg"))
    text = program.screen.text()
    need("[1]+  Stopped" in text and "$ fg" in text, "what the shell said is drawn over", program)
    need(text.rfind("fetch") > text.find("$ fg"), "no frame below", program)
    need(stood < len(program.screen.rows), "no frame below", program)
    program.end()


def json_lines():
    program = start("--progress", "json")
    program.end()
    # Every line is an object.
    lines = [json.loads(line) for line in program.screen_free_lines() if line]
    need(any("summary" in line for line in lines), "no summary", program)
    objects = [line for line in lines if "elapsed_ms" in line]
    need(len(objects) >= 3, f"{len(objects)} objects", program)
    need(objects[0]["steps"][0]["path"] == "demo.fetch", "no steps", program)
    last = objects[-1]
    need(last["ok"] + last["failed"] == 120 and last["in_flight"] == 0, "the last one is not the end", program)
    need(b"\x1b" not in program.raw, "commands among JSON", program)


Program.screen_free_lines = lambda self: self.raw.decode().replace("\r\n", "\n").split("\n")
SCENES = dict(frame=frame, no_color=no_color, dumb=dumb, resize=resize, interrupt=interrupt, suspend=suspend, json=json_lines)
SCENES[sys.argv[2]]()
