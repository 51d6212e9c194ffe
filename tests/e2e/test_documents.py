# SPDX-License-Identifier: Apache-2.0
"""What docs/ says is what the code is."""

import glob
import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


class Documents(unittest.TestCase):
    def check_made(self, script):
        found = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "tests", "support", script)],
                               capture_output=True, text=True, check=False)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)

    # C19: the table of requirements and tests is the one that the tests give.
    def test_the_requirements_name_the_tests_that_show_them(self):
        self.check_made("requirements.py")

    # C14, C19: the reference of events is the one that the schema gives.
    def test_the_reference_of_events_is_the_schemas(self):
        self.check_made("reference.py")

    # C14, C19: the reference of HTTP is the one that schema and paths give.
    def test_the_reference_of_http_is_the_schemas(self):
        self.check_made("openapi.py")

    # C14, C19: what the paths take and answer, and each word of a status or a mode, is explained below them.
    def test_the_reference_of_http_explains_its_words(self):
        described = json.loads(read("docs", "openapi.json"))
        schemas = described["components"]["schemas"]
        words = {f"`{name}`" for name in ("Idempotency-Replayed: true", "Preference-Applied", "wait=N", "traceparent")}
        for item in described["paths"].values():
            for operation in [item[method] for method in item if method != "servers"]:
                words.update(f"`{each['name']}`" for each in operation["parameters"]
                             if each["in"] == "header" or each["name"] in ("limit", "after", "after-position"))
                words.update(f"`{name}`" for response in operation["responses"].values()
                             for name in response.get("headers", {}))
        for name in ("Order", "Payment", "Ticket", "Notification"):
            words.update(f"| `{word}` |" for word in schemas[name]["properties"]["status"]["enum"])
        words.update(f"| `{word}` |" for word in schemas["SandboxSettings"]["properties"]["mode"]["enum"])
        words.update(f"`{name}`" for name in schemas["Sandbox"]["properties"] if name != "_links")
        explained = read("docs", "reference", "http.md").split("\n## Everywhere\n")[1]
        for word in words:
            self.assertIn(word, explained)

    # C19: the event storming holds every command and event of the domain, and nothing else.
    def test_the_event_storming_has_every_command_and_event(self):
        known = set(re.findall(r"^(?:event|command) (\w+) of (?:order|payment|fulfillment|notification)$",
                               read("tests", "abi", "schemas.txt"), re.MULTILINE))
        told = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b|\bOrdered\b", read("docs", "event-storming.md")))
        self.assertEqual(told, known)

    # C19: its policies, and the relations of the context map, are those of the code.
    def test_policies_and_relations_are_the_codes(self):
        policies = dict(re.findall(r'\.name = "([\w-]+)",\s+\.source = "(\w+)"', read("lib", "domain", "policies.c")))
        self.assertTrue(policies)
        storming, contexts = read("docs", "event-storming.md"), read("docs", "context-map.md")
        for policy, source in policies.items():
            self.assertIn(policy, storming)
            consumer = policy.split("-")[0]
            row = rf"^\| [^|]*\b{source}\b[^|]* \| {consumer} \| [^|]*published language"
            self.assertRegex(contexts, re.compile(row, re.MULTILINE), policy)

    # C19: every code and every reason of a refusal is explained.
    def test_the_errors_are_the_codes(self):
        page = read("docs", "errors.md")
        codes = re.findall(r"^  CAFE_(\w+) = (\d+)", read("include", "cafe", "err.h"), re.MULTILINE)
        told = re.findall(r"^\| (\d+) \| (\w+) \|", page, re.MULTILINE)
        self.assertEqual(told, [(number, name.lower()) for name, number in codes])
        reasons = set()
        for path in glob.glob(os.path.join(ROOT, "lib", "domain", "*.c")):
            reasons.update(re.findall(r'cafe_refuse\(\w+, "([\w-]+)"', read(path)))
        self.assertTrue(reasons)
        for reason in reasons:
            self.assertIn(f"`{reason}`", page)

    def test_what_pages_point_to_is_there(self):
        for page in glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True):
            text = re.sub(r"^```.*?^```", "", read(page), flags=re.DOTALL | re.MULTILINE)
            for path in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
                if "://" not in path:
                    self.assertTrue(os.path.exists(os.path.join(os.path.dirname(page), path)), f"{page}: {path}")


if __name__ == "__main__":
    unittest.main()
