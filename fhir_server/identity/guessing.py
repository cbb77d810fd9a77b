"""A judge of passwords, as a process that ends with its answer.

The lists of zxcvbn take 15 MB of memory, which so lie in no process that goes on.

    echo '["the password", ["asha"]]' | python -m fhir_server.identity.guessing
"""

import json
import sys

from zxcvbn import zxcvbn  # type: ignore[import-untyped]

LONGEST = 72
"""Characters that are looked at: the time grows faster than their number."""


def main() -> None:
    """Read a password and words that are near at hand; write how hard it is to guess, 0 to 4."""
    password, words = json.load(sys.stdin)
    found = zxcvbn(password[:LONGEST], user_inputs=words)
    sys.stdout.write(str(found["score"]))


if __name__ == "__main__":
    main()
