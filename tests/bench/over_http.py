# SPDX-License-Identifier: Apache-2.0
"""Orders over HTTP, beside what the HTTP layer alone does, and beside reads of the dashboard at full speed.

over_http.py BINARY [--seconds N] [--rounds N] [--connections N] [--readers N] [--dir PATH]

Needs wrk (apt-get install wrk). The process under test and the clients share the machine, so that only ratios taken within
one run say something: each round measures all of them, one after the other, and the median of the rounds is told.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.dont_write_bytecode = True

from shop import APP, DASHBOARD, SEED, Shop  # noqa: E402

ORDER = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[%s]]
""" % json.dumps(SEED)


class Load:
    """wrk, running."""

    def __init__(self, shop, service, path, seconds, connections, script=None):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency",
                   *(["-s", script] if script else []), f"http://127.0.0.1:{shop.base + service}{path}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def rate(self):
        told = self.process.communicate()[0]
        if "Non-2xx" in told or "Socket errors" in told:
            sys.exit(f"not every request was answered well:\n{told}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])


def measure(shop, options, script):
    def run(*what):
        return Load(shop, *what).rate()

    constant = run(APP, "/livez", options.seconds, options.connections)
    orders = run(APP, "/orders", options.seconds, options.connections, script)
    reads = Load(shop, DASHBOARD, "/orderInfos/1", options.seconds, options.readers)
    beside = run(APP, "/orders", options.seconds, options.connections, script)
    return {"constant": constant, "orders": orders, "beside": beside, "reads": reads.rate()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--dir", default=None)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("over_http.py needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        script = os.path.join(folder, "order.lua")
        with open(script, "w", encoding="utf-8") as file:
            file.write(ORDER)
        shop = Shop(os.path.abspath(options.binary), folder, "--log-level", "warn", "--channel", f"file:{folder}/told.txt")
        shop.start()
        try:
            shop.order()
            rounds = [measure(shop, options, script) for _ in range(options.rounds)]
        finally:
            shop.stop()

    def median(figure):
        return statistics.median(figure(one) for one in rounds)

    print(f"a constant reply: {median(lambda r: r['constant']):.0f}/s; POST /orders: {median(lambda r: r['orders']):.0f}/s")
    print(f"T11  POST /orders, of a constant reply:      {median(lambda r: r['orders'] / r['constant']):.2f} x  (must 0.3, want 0.5)")
    print(f"beside {median(lambda r: r['reads']):.0f} reads/s of the dashboard: {median(lambda r: r['beside']):.0f} orders/s")
    print(f"T13  ordering loses beside reads:            {100 - 100 * median(lambda r: r['beside'] / r['orders']):.0f} %  (must < 10, want < 3)")


if __name__ == "__main__":
    main()
