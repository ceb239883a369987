# SPDX-License-Identifier: Apache-2.0
"""The lines of a process's pipe, for the harness."""
import threading


class Output:
    """Collects the lines of a pipe on a thread of its own."""

    def __init__(self, stream):
        self.lines = []
        self.stream = stream
        self.reading = threading.Event()
        self.reading.set()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.stream:
            self.lines.append(line.rstrip("\n"))
            self.reading.wait()

    def pause(self):
        """Stops reading, as a log's reader that hangs; go_on() goes on."""
        self.reading.clear()

    def go_on(self):
        self.reading.set()

    def join(self):
        self.thread.join(5)
