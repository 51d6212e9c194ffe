# SPDX-License-Identifier: Apache-2.0
"""Reads Prometheus' text format 0.0.4, and takes nothing that the format or its naming rules don't allow."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)$")


class Malformed(AssertionError):
    pass


class Metrics:
    """Samples by name and labels: metrics["cafe_orders", "status", "Ordered"]."""

    def __init__(self, text):
        self.samples, self.types = {}, {}
        self.family = self.help = None
        if not text.endswith("\n"):
            raise Malformed("the last line doesn't end")
        for line in text[:-1].split("\n"):
            try:
                self.take(line)
            except ValueError as wrong:
                raise Malformed(f"{wrong}: {line}") from wrong
        for name, kind in self.types.items():
            self.check_family(name, kind)

    def take(self, line):
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            if name in self.types or not text.strip():
                raise ValueError("a family that comes twice, or without help")
            self.help = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name != self.help or name in self.types or kind not in ("counter", "gauge", "histogram"):
                raise ValueError("a type that belongs to no help")
            if (kind == "counter") != name.endswith("_total"):
                raise ValueError("counters, and only these, are named _total")
            self.types[name] = kind
            self.family = name
        else:
            self.take_sample(line)

    def take_sample(self, line):
        found = SAMPLE.match(line)
        if not found:
            raise ValueError("not a sample")
        name, labels, value = found.group(1), found.group(2), float(found.groups()[-1])
        pairs = re.findall(LABEL, labels or "")
        suffixes = ("_bucket", "_sum", "_count") if self.types.get(self.family) == "histogram" else ("",)
        if self.family is None or name not in [self.family + suffix for suffix in suffixes]:
            raise ValueError("a sample outside its family")
        key = (name, *[part for pair in pairs for part in pair])
        if key in self.samples or len(dict(pairs)) != len(pairs):
            raise ValueError("a sample or a label twice")
        if value < 0 or value != value:
            raise ValueError("a number that is none")
        self.samples[key] = value

    def check_family(self, name, kind):
        if not any(key[0].startswith(name) for key in self.samples):
            raise Malformed(f"{name} has no sample")
        if kind != "histogram":
            return
        counts = {key[1:]: value for key, value in self.samples.items() if key[0] == f"{name}_count"}
        for labels, count in counts.items():
            buckets = [(float(key[-1]), value) for key, value in self.samples.items()
                       if key[0] == f"{name}_bucket" and key[1:-2] == labels and key[-2] == "le"]
            if buckets != sorted(buckets) or [value for _, value in buckets] != sorted(v for _, v in buckets):
                raise Malformed(f"the buckets of {name} {labels} don't rise")
            if not buckets or buckets[-1] != (float("inf"), count) or (f"{name}_sum", *labels) not in self.samples:
                raise Malformed(f"{name} {labels} isn't whole")

    def __getitem__(self, key):
        return self.samples[key if isinstance(key, tuple) else (key,)]

    def get(self, *key):
        return self.samples.get(key, 0)

    def names(self):
        return set(self.types)
