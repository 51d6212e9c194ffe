# SPDX-License-Identifier: Apache-2.0
"""docs/reference/events.md, from the schema and the headers.

reference.py [--update]

Fields, types and values are those of tests/abi/schemas.txt, which a test holds to the code; what a field means is the
comment beside the struct's member. Without --update the page is compared, with it, it is written anew.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "events.md"
HEADERS = {
    "order": "order.h",
    "payment": "payment.h",
    "fulfillment": "fulfillment.h",
    "notification": "notification.h",
}
SERVICES = {"order": "app", "payment": "pay", "fulfillment": "store", "notification": "customer"}

INTRO = """# Reference: commands, events and rows

Written by `tests/support/reference.py --update` from the schema; a test holds it to the code. The number is a field's
place in the msgpack array, for ever. Fields may be added; a reader passes over those that it doesn't know. In JSON and in
tables a field has the name in the second column, in camelCase the one, as it is the other.

Types: `text` is UTF-8; `i64` a whole number; `u64` one from 0 to 2^53 − 1; `bool`; `time` milliseconds since 1970-01-01
UTC, 0 for none; `enum` one of the values named, stored by its number. Amounts are in minor units of the currency.
"""


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def comments(header):
    """The comment beside each member, by struct and member, and the one above each struct."""
    text = (ROOT / "include" / "cafe" / header).read_text(encoding="utf-8")
    if header == "order.h":
        lines = re.search(r"#define CAFE_ORDER_LINES(.*?)\n\n", text, re.DOTALL)[1].replace("\\\n", "\n")
    else:
        lines = comments("order.h")["lines"]
    notes = {"lines": lines}
    for above, name, body in re.findall(
        r"(/\*(?:(?!\*/).)*\*/\n)?typedef struct cafe_(\w+) \{\n(.*?)\n\} cafe_\2;", text, re.DOTALL
    ):
        body = body.replace("CAFE_ORDER_LINES;", lines + ";")
        notes[name, None] = plain(above)
        for member, note in re.findall(r"(\w+);?[ \t]*/\*(.*?)\*/", body, re.DOTALL):
            notes[name, member] = plain(note)
    return notes


def plain(comment):
    text = re.sub(r"^/\*|\*/$", "", comment.strip())
    text = " ".join(re.sub(r"^\s*\* ?", "", line).strip() for line in text.splitlines()).strip()
    # A heading between groups of structs isn't about the one below it.
    return "" if text.startswith("----") else text


def entries():
    """Yields (kind, name, owner, [(number, name, type)]) of everything in schemas.txt."""
    entry = None
    for line in (ROOT / "tests" / "abi" / "schemas.txt").read_text(encoding="utf-8").splitlines():
        if head := re.match(r"^(\w+) (\w+) of (\S+)$", line):
            if entry:
                yield entry
            entry = (head[1], head[2], head[3], [])
        elif field := re.match(r"^  (\d+) (\w+) (.*)$", line):
            entry[3].append(field.groups())
    yield entry


def kind_of(text):
    word, _, rest = text.partition(" ")
    values = re.findall(r"\d+=(\S+)", rest)
    if word == "enum":
        return "enum: " + ", ".join(values)
    return word + (", secret" if "secret" in rest else "")


def section(kind, name, struct, fields, notes):
    out = [f"### {name}", ""]
    if above := notes.get((struct, None)):
        out += [above, ""]
    if [field[1] for field in fields] == ["unused"]:
        return out + ["Says no more than its name.", ""]
    out += ["| | field | type | |", "|---|---|---|---|"]
    for number, field, text in fields:
        out.append(f"| {number} | `{field}` | {kind_of(text)} | {notes.get((struct, field), '')} |".replace("|  |", "| |"))
    return out + [""]


def page():
    everything = list(entries())
    out = [INTRO]
    for aggregate, header in HEADERS.items():
        notes = comments(header)
        out += [f"## {aggregate}, of {SERVICES[aggregate]}", ""]
        out += [f"Stream `{aggregate}`; header [{header}](../../include/cafe/{header}).", ""]
        for kind in ("command", "event"):
            for what, name, owner, fields in everything:
                if what == kind and owner == aggregate:
                    out += section(kind, f"{name} ({kind})", snake(name), fields, notes)
        for what, name, owner, fields in everything:
            if what == "row" and name.lower() in (f"{aggregate}row",):
                out += section("row", f"{owner} (table)", snake(name), fields, notes)
    shop = comments("shop.h")
    for what, name, owner, fields in everything:
        if name == "OrderInfoRow":
            out += ["## The read model over all services", ""]
            out += section("row", f"{owner} (table)", snake(name), fields, shop)
    return "\n".join(out).rstrip() + "\n"


def main():
    wanted = page()
    if "--update" in sys.argv[1:]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        print(f"{PAGE.relative_to(ROOT)} isn't what the schema says: run tests/support/reference.py --update")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
