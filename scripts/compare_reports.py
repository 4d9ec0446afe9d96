#!/usr/bin/env python3
"""Prints the errors of two quantization reports side by side, per kind of layer.

usage: compare_reports.py <max.json> <mse.json> [<max.time> <mse.time>]     a time file holds begin and end in seconds
"""
import collections
import json
import math
import re
import sys


def kind_of(name):
    """The name without the number of its layer: encoder.layer.3.output.dense.weight -> output.dense."""
    parts = re.split(r"\.\d+\.", name)
    return parts[-1].removesuffix(".weight") if len(parts) > 1 else name.removesuffix(".weight")


def errors_by_kind(report):
    sums = collections.OrderedDict()
    for tensor in report["tensors"]:
        if not tensor.get("sum_squares") or tensor.get("squared_error") is None:
            continue
        entry = sums.setdefault(kind_of(tensor["name"]), [0, 0.0, 0.0])
        entry[0] += 1
        entry[1] += tensor["squared_error"]
        entry[2] += tensor["sum_squares"]
    return sums


def seconds_of(path):
    with open(path) as file:
        begin, end = map(float, file.read().split())
    return end - begin


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))
        if number == 0 or number == len(rows) - 2:
            print("  ".join("-" * w for w in widths))


def row_of(label, count, squared, other_squared, total):
    errors = [math.sqrt(value / total) for value in (squared, other_squared)]
    return [label, str(count), f"{errors[0]:.5f}", f"{errors[1]:.5f}", f"{other_squared / squared:.4f}"]


def main(arguments):
    if len(arguments) not in (2, 4):
        sys.exit(__doc__)
    reports = []
    for path in arguments[:2]:
        with open(path) as file:
            reports.append(errors_by_kind(json.load(file)))
    first, second = reports
    if list(first) != list(second) or not first:
        sys.exit("the reports have different layers" if first else "the reports hold no measured tensor")
    rows = [["layers", "n", "max", "mse", "squared mse / max"]]
    for kind, (count, squared, total) in first.items():
        rows.append(row_of(kind, count, squared, second[kind][1], total))
    sums = [[sum(entry[i] for entry in report.values()) for i in range(3)] for report in reports]
    rows.append(row_of("all", sums[0][0], sums[0][1], sums[1][1], sums[0][2]))
    print("relative error ||W - Wq|| / ||W|| of the quantized weights, and the ratio of the squared errors")
    print_table(rows)
    if len(arguments) == 4:
        print("seconds, whole run: max {:.2f}, mse {:.2f}".format(*map(seconds_of, arguments[2:])))


if __name__ == "__main__":
    main(sys.argv[1:])
