"""A headless Chromium, by the DevTools protocol over a pair of pipes: what a reader of a page does.

https://chromedevtools.github.io/devtools-protocol/ (``--remote-debugging-pipe``: one JSON object
and a zero byte, on the descriptors 3 and 4). Nothing but the standard library.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

TIMEOUT = 60.0
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
#: Virtual key codes of the keys that tests press; text keys are told by their text.
_CODES = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One browser with one page."""

    def __init__(self, profile, width=1400, height=900):
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 64) for one in (theirs_in, theirs_out)]

        def place():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}",
             "about:blank"],
            pass_fds=(3, 4), preexec_fn=place,  # noqa: PLW1509 - there are no threads
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for one in (theirs_in, theirs_out, *high):
            os.close(one)
        self._buffer, self._number, self._session = b"", 0, None
        self.events = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one for one in targets if one["type"] == "page")
        self._session = self.call(
            "Target.attachToTarget", targetId=page["targetId"], flatten=True
        )["sessionId"]  # fmt: skip
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def close(self):
        with contextlib.suppress(OSError):
            self._session = None
            self.call("Browser.close")
        self._process.wait(TIMEOUT)
        os.close(self._in)
        os.close(self._out)

    def call(self, method, **params):
        """Send a command and return its result; what is told meanwhile is kept in ``events``."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                return said["result"]
            self.events.append(said)

    def _read(self):
        limit = time.monotonic() + TIMEOUT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, limit - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise BrokenPipeError("the browser has gone")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def resize(self, width, height=900, scale=1):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 600,
        )  # fmt: skip

    def open(self, path, fragment=""):
        self.events.clear()
        self.call("Page.navigate", url=f"file://{path}{fragment}")
        self.wait_for_load()

    def wait_for_load(self):
        """Wait until a page has been loaded since the last one was; that is then forgotten."""
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        loaded = "Page.loadEventFired"
        self.events = [event for event in self.events if event.get("method") != loaded]

    def ask(self, expression):
        """Return the value of a JavaScript expression."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def press(self, *keys):
        for key in keys:
            code = _CODES.get(key, 0)
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            facts = {"key": key, "windowsVirtualKeyCode": code, "text": text}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **facts)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def fetched(self):
        """Return the addresses that the page has asked for, itself included."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def complaints(self):
        """Return what the console has been told: errors of scripts, and breaches of the policy."""
        return [
            event["params"]
            for event in self.events
            if event.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}
        ]

    def picture(self, *, full=False):
        """Return a PNG of what is in sight, or of the whole page."""
        return base64.b64decode(
            self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)["data"]
        )

    def printed(self):
        """Return a PDF of the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])
