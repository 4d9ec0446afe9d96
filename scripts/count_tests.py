#!/usr/bin/env python3
"""Counts test cases in a log: prints passed and failed.

usage: count_tests.py ctest <LastTest.log>      every entry of a ctest run
       count_tests.py step <log> <exit status>  one program's output
       count_tests.py junit <folder> <exit status>  the TEST-*.xml reports under a folder (Maven's)
       count_tests.py --self-test
"""
import pathlib
import re
import sys
import tempfile
import xml.etree.ElementTree

OWN = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)  # our C programs and scripts
SELF_TESTS = re.compile(r"^(\d+) self-tests passed$", re.M)
PYTEST = re.compile(r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.M)
CATCH_ALL = re.compile(r"^All tests passed \([\d,]+ assertions? in (\d+) test cases?\)", re.M)
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;", re.M)  # one line a test program, one for the documentation
CATCH_SOME = re.compile(r"^test cases:\s*\d+(.*)$", re.M)


def count(output, succeeded):
    passed = failed = 0
    for pattern in (OWN, CARGO):
        passed += sum(int(match.group(1)) for match in pattern.finditer(output))
        failed += sum(int(match.group(2)) for match in pattern.finditer(output))
    for pattern in (SELF_TESTS, CATCH_ALL):
        passed += sum(int(match.group(1)) for match in pattern.finditer(output))
    for match in PYTEST.finditer(output):
        for number, word in re.findall(r"(\d+) (passed|failed|errors?)\b", match.group(1)):
            if word == "passed":
                passed += int(number)
            else:
                failed += int(number)
    for match in CATCH_SOME.finditer(output):
        for number, word in re.findall(r"(\d+) (passed|failed as expected|failed)", match.group(1)):
            if word == "failed":
                failed += int(number)
            else:
                passed += int(number)
    if succeeded and passed + failed == 0:
        passed = 1  # a program that says nothing is one test
    if not succeeded and failed == 0:
        failed = 1  # a crash, or a limit
    return passed, failed


def count_ctest(log):
    passed = failed = 0
    for entry in re.split(r"^\d+/\d+ Testing: .*$", log, flags=re.M)[1:]:
        output = entry.split("Output:\n", 1)[-1].split("<end of output>", 1)[0]
        entry_passed, entry_failed = count(output, re.search(r"^Test Passed\.$", entry, flags=re.M) is not None)
        passed += entry_passed
        failed += entry_failed
    return passed, failed


def count_junit(folder, succeeded):
    passed = failed = 0
    for path in sorted(pathlib.Path(folder).rglob("TEST-*.xml")):
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is None:
                passed += 1
    if passed + failed == 0 or (not succeeded and failed == 0):
        failed += 1  # no tests, or something else that stopped the build
    return passed, failed


def self_test():
    cases = {
        ("All tests passed (12 assertions in 3 test cases)\n", True): (3, 0),
        ("All tests passed (1 assertion in 1 test case)\n", True): (1, 0),
        ("test cases:  10 |  8 passed |  2 failed\nassertions: 9\n", False): (8, 2),
        ("test cases:  3 |  2 passed | 1 skipped\n", True): (2, 0),
        ("test cases:  3 |  2 passed | 1 failed as expected\n", True): (3, 0),
        ("5 passed, 0 failed\n", True): (5, 0),
        ("5 passed, 0 failed\n", False): (5, 1),
        ("7 self-tests passed\n", True): (7, 0),
        ("test result: ok. 4 passed; 0 failed; 0 ignored\n\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\n", False): (6, 1),
        ("test result: ok. 4 passed; 0 failed; 0 ignored\nerror: could not compile\n", False): (4, 1),
        ("....\n4 passed in 1.20s\n", True): (4, 0),
        ("== 1 failed, 4 passed, 2 skipped, 3 warnings in 61.02s (0:01:01) ==\n", False): (4, 1),
        ("2 passed, 1 error in 0.10s\n", False): (2, 1),
        ("", True): (1, 0),
        ("Segmentation fault\n", False): (0, 1),
    }
    for (output, succeeded), expected in cases.items():
        assert count(output, succeeded) == expected, output
    log = "1/2 Testing: a\n1/2 Test: a\nOutput:\n---\n2 passed, 0 failed\n<end of output>\nTest Passed.\n"
    log += "2/2 Testing: b\n2/2 Test: b\nOutput:\n---\n<end of output>\nTest Failed.\n"
    assert count_ctest(log) == (2, 1)
    reports = {
        ("<testcase/><testcase><failure/></testcase><testcase><error/></testcase><testcase><skipped/></testcase>", False): (1, 2),
        ("<testcase/><testcase/>", True): (2, 0),
        ("<testcase/>", False): (1, 1),
        ("", True): (0, 1),
    }
    for (report, succeeded), expected in reports.items():
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "TEST-a.xml").write_text(f"<testsuite>{report}</testsuite>")
            (pathlib.Path(folder) / "other.xml").write_text("<testsuite><testcase/></testsuite>")
            assert count_junit(folder, succeeded) == expected, report
    print(f"{len(cases) + len(reports) + 1} self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) < 2 or arguments[0] not in ("ctest", "step", "junit"):
        sys.exit(__doc__)
    if arguments[0] == "junit":
        return print(*count_junit(arguments[1], arguments[2] == "0"))
    with open(arguments[1], encoding="utf-8", errors="replace") as file:
        log = file.read()
    print(*(count_ctest(log) if arguments[0] == "ctest" else count(log, arguments[2] == "0")))


if __name__ == "__main__":
    main(sys.argv[1:])
