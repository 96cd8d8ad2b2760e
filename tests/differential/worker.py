"""Judges images with what `pullproof inspect` calls: a JSON line for each, many at once."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from typing import Any

from webhook.cli import inspect
from webhook.cli.options import Parser, UsageError, view_of
from webhook.report.inspection import as_json

_WRITING = threading.Lock()


def _judge(words: list[str]) -> dict[str, Any]:
    parser = Parser(prog="pullproof inspect", allow_abbrev=False)
    inspect.add_parser(parser)
    try:
        given = parser.parse_args(words)
        [judged] = inspect._inspect(given, view_of(given))
    except (UsageError, SystemExit) as error:
        return {"trouble": f"usage: {error}"}
    except Exception:  # noqa: BLE001 - a crash is an answer that the report shows
        return {"trouble": traceback.format_exc()}
    return {
        "exit": inspect.STATUS[judged.outcome.pull],
        "said": json.loads(json.dumps(as_json(judged))),
    }


def _work(line: bytes) -> None:
    asked = json.loads(line)
    answer = _judge(asked["words"])
    with _WRITING:
        sys.stdout.write(json.dumps({"number": asked["number"], **answer}) + "\n")
        sys.stdout.flush()


def main() -> None:
    threads = []
    for line in sys.stdin.buffer:
        threads.append(threading.Thread(target=_work, args=(line,), daemon=True))
        threads[-1].start()
        threads = [thread for thread in threads if thread.is_alive()]
    for thread in threads:
        thread.join(5)


if __name__ == "__main__":
    main()
