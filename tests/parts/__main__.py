"""`python -m tests.parts [NAME…]`: has every part ready and prints where each one is."""

import sys

from tests.parts.find import locate
from tests.parts.recipe import PARTS, PartUnavailableError


def main(names: list[str]) -> int:
    try:
        found = locate(names or PARTS)
    except PartUnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    width = max(len(name) for name in found)
    for name, path in found.items():
        print(f"{name:<{width}}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
