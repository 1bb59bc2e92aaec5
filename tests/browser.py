"""Pages as a person sees them: headless Chromium, where it is installed."""

import shutil
import subprocess
from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "Chromium is not installed (apt-get install chromium)"

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # Scripts may ask for what they show
    "--virtual-time-budget=3000",
)


def read(url: str, profile: Path) -> str:
    """The page's HTML once its scripts have run. `profile` is an empty directory for Chromium."""
    return _run(url, profile, "--dump-dom")


def photograph(
    url: str, picture: Path, profile: Path, *, width: int, height: int, dark: bool = False
) -> None:
    """A PNG of the page in a window of so many pixels."""
    # 0 is dark for Chromium
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    _run(url, profile, f"--window-size={width},{height}", scheme, f"--screenshot={picture}")


def _run(url: str, profile: Path, *options: str) -> str:
    if PROGRAM is None:
        raise SystemExit(MISSING)
    return subprocess.run(
        [PROGRAM, *_OPTIONS, f"--user-data-dir={profile}", *options, url],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
