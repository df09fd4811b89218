#!/usr/bin/env python
"""Django's command line, for this project."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        from tenancy.management import execute
    except ImportError as exc:
        sys.exit(f"error: {exc}. Run `make serve` once, or activate .venv.")
    execute(sys.argv)


if __name__ == "__main__":
    main()
