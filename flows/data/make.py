#!/usr/bin/env python3
"""Makes tool-tasks.jsonl out of the Berkeley Function-Calling Leaderboard data.

    pip download bfcl-eval==2026.3.23 --no-deps -d bfcl
    unzip -q bfcl/bfcl_eval-2026.3.23-py3-none-any.whl -d bfcl
    python3 flows/data/make.py bfcl/bfcl_eval/data > flows/data/tool-tasks.jsonl

The same package gives the same bytes. Standard library only.
"""

import json
import pathlib
import sys

# Single-turn categories, in the order in which they stand in the file.
CATEGORIES = [
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
]

# Every second task of this category is used: its tasks share few sets of functions, and it is as large as all others.
HALVED = "live_multiple"

# Descriptions are cut at this length: enough to distinguish functions, and the file stays small.
DESCRIPTION = 60


def short(text):
    """The first sentence, at most DESCRIPTION characters of it."""
    text = " ".join(text.split())
    sentence = text.split(". ")[0].rstrip(".")
    if len(sentence) <= DESCRIPTION:
        return sentence
    return sentence[:DESCRIPTION].rsplit(" ", 1)[0] + "…"


def parameter(spec):
    """A parameter without its description, default and enum; nested ones are kept."""
    kept = {"type": spec.get("type", "any")}
    if isinstance(spec.get("items"), dict):
        kept["items"] = parameter(spec["items"])
    if isinstance(spec.get("properties"), dict):
        kept["properties"] = {name: parameter(child) for name, child in spec["properties"].items()}
        if spec.get("required"):
            kept["required"] = spec["required"]
    return kept


def function(spec):
    return {
        "name": spec["name"],
        "description": short(spec.get("description", "")),
        "parameters": parameter(spec["parameters"]),
    }


def record(category, task):
    (turn,) = task["question"]
    made = {"id": task["id"], "category": category}
    system = [message["content"] for message in turn if message["role"] == "system"]
    if system:
        made["system"] = "\n".join(system)
    made["prompt"] = [message["content"] for message in turn if message["role"] == "user"][-1]
    made["functions"] = [function(spec) for spec in task["function"]]
    return made


def main():
    (data,) = sys.argv[1:] or sys.exit(__doc__)
    for category in CATEGORIES:
        path = pathlib.Path(data, f"BFCL_v4_{category}.json")
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if category == HALVED and number % 2:
                    continue
                made = record(category, json.loads(line))
                print(json.dumps(made, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
