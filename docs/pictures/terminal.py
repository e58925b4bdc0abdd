"""A terminal: runs a program on a pseudo-terminal and keeps its screen, as text or as SVG.

Python 3.9 and its standard library; Linux and macOS. Supports the few commands that programs with a frame use: colours,
moving up and down, clearing. It ignores others.
"""

import codecs
import fcntl
import html
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unicodedata

COMMAND = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()][A-Z0-9]?")
UNFINISHED = re.compile(r"\x1b(\[[?0-9;]*|\][^\x07\x1b]*)?$")


class Screen:
    """The cells of a terminal; each has a character and a style, (colour, bold, dim)."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.rows = [[]]
        self.top = self.row = self.column = 0
        self.style = (None, False, False)
        self.rest = ""
        self.updates = 0
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, data):
        text, at = self.rest + self.decode(data), 0
        cut = UNFINISHED.search(text)
        text, self.rest = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
        while at < len(text):
            command = COMMAND.match(text, at)
            if command:
                self.command(command.group(1) or "", command.group(2))
                at = command.end()
                continue
            self.put(text[at])
            at += 1

    def put(self, char):
        if char == "\n":
            self.down()
        elif char == "\r":
            self.column = 0
        elif char == "\b":
            self.column = max(0, self.column - 1)
        elif char == "\t":
            self.column = min(self.width - 1, (self.column // 8 + 1) * 8)
        elif ord(char) >= 32 and char != "\x7f":
            wide = 2 if unicodedata.east_asian_width(char) in "WF" else 1
            if self.column + wide > self.width:
                self.column = 0
                self.down()
            row = self.rows[self.row]
            row.extend([(" ", (None, False, False))] * (self.column - len(row)))
            row[self.column : self.column + wide] = [(char, self.style)] + [("", self.style)] * (wide - 1)
            self.column += wide

    def down(self):
        self.row += 1
        while len(self.rows) <= self.row:
            self.rows.append([])
        self.top = max(self.top, self.row - self.height + 1)

    def command(self, numbers, letter):
        if letter is None or numbers.startswith("?"):
            # One frame has been drawn (mode 2026).
            self.updates += numbers == "?2026" and letter == "l"
            return
        first = int(numbers.split(";")[0] or 0)
        if letter == "A":
            # The cursor does not leave the screen.
            self.row = max(self.top, self.row - max(1, first))
        elif letter == "B":
            self.row = min(self.top + self.height - 1, self.row + max(1, first))
            self.rows.extend([] for _ in range(self.row + 1 - len(self.rows)))
        elif letter in "KJ":
            if first == 2 and letter == "J":
                self.rows[self.top :] = [[] for _ in self.rows[self.top :]]
            else:
                del self.rows[self.row][self.column :]
                if letter == "J":
                    self.rows[self.row + 1 :] = []
        elif letter == "m":
            self.styled([int(number or 0) for number in numbers.split(";")])

    def styled(self, numbers):
        colour, bold, dim = self.style
        for number in numbers:
            if number == 0:
                colour, bold, dim = None, False, False
            elif number == 1:
                bold = True
            elif number == 2:
                dim = True
            elif number == 22:
                bold = dim = False
            elif number == 39:
                colour = None
            elif 30 <= number <= 37:
                colour = number - 30
            elif 90 <= number <= 97:
                colour = number - 90
        self.style = (colour, bold, dim)

    def lines(self):
        """The whole text, including lines that have scrolled away."""
        return ["".join(char for char, _ in row).rstrip() for row in self.rows]

    def text(self):
        return "\n".join(self.lines()).rstrip("\n") + "\n"


class Program:
    """A program on its own terminal."""

    def __init__(self, argv, width=80, height=24, env=None, cwd=None):
        self.screen = Screen(width, height)
        self.raw = b""
        self.status = None
        env = dict(env if env is not None else os.environ)
        env.setdefault("TERM", "xterm-256color")
        size = struct.pack("HHHH", height, width, 0, 0)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, size)
                if cwd:
                    os.chdir(cwd)
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)

    def run(self, seconds, until=None):
        """Lets it run for a time, or until a condition holds. Returns whether it still runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until and until(self)):
            ready, _, _ = select.select([self.fd], [], [], min(0.02, max(0, end - time.monotonic())))
            if not ready:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.status = self.status if self.status is not None else os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                return False
            self.raw += data
            self.screen.feed(data)
        return True

    def end(self, seconds=60):
        """Waits for its end and returns its exit code; ends it after the given time."""
        if self.run(seconds):
            os.kill(self.pid, signal.SIGKILL)
            self.run(5)
            raise TimeoutError("the program does not end; it shows:\n" + self.screen.text())
        return self.status

    def send(self, number):
        os.kill(self.pid, number)

    def type(self, text):
        os.write(self.fd, text.encode())

    def resize(self, width, height):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.width, self.screen.height = width, height


COLOURS = ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"]
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


def svg(rows, width, title, size=14):
    """The cells as a picture, each run of one style placed by its cell, so that no font can shift it."""
    across, down, margin = size * 0.6, round(size * 1.35), 14
    total = (round(width * across + 2 * margin), len(rows) * down + 2 * margin)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total[0]}" height="{total[1]}" viewBox="0 0 {total[0]} {total[1]}" '
        f'role="img" aria-label="{html.escape(title)}">',
        f"<title>{html.escape(title)}</title>",
        '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>',
        f'<g font-family="{FONT}" font-size="{size}" fill="#e6edf3" xml:space="preserve">',
    ]
    for number, row in enumerate(rows):
        y = margin + number * down + size
        for start, text, (colour, bold, dim) in runs(row):
            marks = f' fill="{COLOURS[colour]}"' if colour is not None else ""
            marks += ' font-weight="bold"' if bold else ""
            marks += ' opacity="0.6"' if dim else ""
            x, length = margin + start * across, cells(text) * across
            out.append(
                f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"{marks}>'
                f"{html.escape(text)}</text>"
            )
    return "\n".join(out + ["</g>", "</svg>"]) + "\n"


def cells(text):
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def runs(row):
    """The runs of one style, with their first cells; blank cells are left out."""
    start, text, style = 0, "", None
    for place, (char, of) in enumerate(row + [(" ", None)]):
        if text and (of != style or (char == " " and text.endswith(" "))):
            if text.strip():
                lead = len(text) - len(text.lstrip())
                yield start + lead, text.strip(), style
            text = ""
        if not text:
            start, style = place, of
        text += char
