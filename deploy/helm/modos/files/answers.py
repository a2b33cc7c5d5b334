"""Ask the gateway what a client would, and what it must not give out: the pod of `helm test`."""

import json
import os
import urllib.error
import urllib.request


def ask(path):
    """Return the status and the body of an answer."""
    try:
        with urllib.request.urlopen(os.environ["GATEWAY"] + path, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def main():
    """Fail with the first answer that is not as it should be."""
    perhaps = (200, 401, 403) if os.environ.get("HAS_RULES") == "yes" else (200,)
    for path, wanted in (
        ("/healthz", (200,)),
        ("/readyz", (200,)),
        ("/list", perhaps),
        ("/htsget/reads/service-info", perhaps),
        ("/metrics", (404,)),
        ("/authorize", (404,)),
    ):
        status, body = ask(path)
        if status not in wanted:
            raise SystemExit(f"{path}: {status}, not {' or '.join(map(str, wanted))}: {body[:500]!r}")
        if (path, status) == ("/list", 200) and not isinstance(json.loads(body)["data"], list):
            raise SystemExit(f"{path}: no list of objects")
        print(path, status)


if __name__ == "__main__":
    main()
