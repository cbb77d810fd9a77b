import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "terminology.md"


def test_the_example_prints_what_it_says() -> None:
    text = DOCUMENT.read_text()
    code, printed = re.findall(r"```python\n(.*?)```\n\nprints `(.*?)`", text, re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed
