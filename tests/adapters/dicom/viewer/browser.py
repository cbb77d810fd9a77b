"""Chromium without a window, driven over its debugging pipe.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SECONDS = 30.0


class Navigated(Exception):
    """The page went away while it was asked."""


class Browser:
    """One page of a browser; what the page says is wrong gathers in `complaints`."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders = orders
        self._answers = answers
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.complaints: list[str] = []

    def attach(self) -> None:
        """Open an empty page."""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        found = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Carry out a method of the protocol and return its result."""
        self._last += 1
        order = {"id": self._last, "method": method, "params": params}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._last:
                if "navigated" in said.get("error", {}).get("message", ""):
                    raise Navigated
                assert "error" not in said, said["error"]
                return dict(said["result"])
            self._note(said)

    def open(self, url: str, width: int = 1280, height: int = 800) -> None:
        """Go to a page in a window of this size."""
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.do("Page.navigate", url=url)

    def see(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.do(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Return the value of an expression as soon as it is true."""
        end = time.monotonic() + SECONDS
        while True:
            # A page that goes away while it is asked answers nothing; the next one does.
            with suppress(Navigated):
                if found := self.see(expression):
                    return found
            assert time.monotonic() < end, f"never: {expression}; {self.complaints}"
            time.sleep(0.05)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the left button."""
        for kind, (x, y), buttons in (
            ("mousePressed", start, 1),
            ("mouseMoved", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            self.do(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="left",
                buttons=buttons,
                clickCount=1,
            )

    def wheel(self, at: tuple[float, float], down: float) -> None:
        """Turn the wheel."""
        self.do(
            "Input.dispatchMouseEvent", type="mouseWheel", x=at[0], y=at[1], deltaX=0, deltaY=down
        )

    def picture(self, path: Path) -> None:
        """Write what is to be seen as PNG."""
        found = self.do("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def _note(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"])[:500])
        if said.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser is silent"
            piece = os.read(self._answers, 1 << 16)
            assert piece, "the browser has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


def program() -> str | None:
    """Return the path of Chromium, None where it is not installed."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Run a browser with its profile in `folder` until the block ends."""
    found = program()
    assert found is not None
    their_input, orders = os.pipe()
    answers, their_output = os.pipe()
    # The pipe's ends are descriptors 3 and 4 of the browser.
    script = f'exec 3<&{their_input} 4>&{their_output}; exec "$@"'
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    switches += ["--disable-dev-shm-usage", "--disable-background-networking"]
    switches += ["--disable-component-update", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", script, "browser", found, *switches, f"--user-data-dir={folder}"],
        pass_fds=(their_input, their_output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    os.close(their_input)
    os.close(their_output)
    try:
        page = Browser(orders, answers)
        page.attach()
        yield page
    finally:
        os.close(orders)  # at the end of its orders the browser ends
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(answers)
