"""The AWS CLI for many commands, one after another: words as JSON, a line each, on standard input; what came of them likewise
on standard output. A process of its own, since the AWS CLI puts a botocore of its own in the place of everybody's."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver


def main() -> None:
    driver, answers = create_clidriver(), sys.stdout
    for line in sys.stdin:
        printed, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            try:
                code = driver.main(json.loads(line))
            except SystemExit as end:
                code = end.code
        print(json.dumps({"code": code, "out": printed.getvalue(), "err": errors.getvalue()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
