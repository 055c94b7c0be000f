# mypy: ignore-errors
"""A test runner for `manage.py test --testrunner`: the application's own, which also writes JUnit XML to
BEDEV_JUNIT."""

import os
import time
import traceback
import unittest
from xml.sax.saxutils import quoteattr

from django.conf import settings
from django.utils.module_loading import import_string

_Own = import_string(settings.TEST_RUNNER)


class _Report:
    def __init__(self):
        self.cases, self.started = {}, {}

    def note(self, test, status, message=""):
        """The worst of what a test said counts; a failing subtest fails its test."""
        order = ("passed", "skipped", "failure", "error")
        identity = getattr(test, "test_case", test).id()
        known = self.cases.get(identity, ("passed", "", 0.0))
        seconds = time.perf_counter() - self.started.get(identity, time.perf_counter())
        if order.index(status) < order.index(known[0]):
            status, message = known[:2]
        self.cases[identity] = (status, message, seconds)

    def write(self, path):
        lines = ['<?xml version="1.0" encoding="utf-8"?>', '<testsuites><testsuite name="django">']
        for identity, (status, message, seconds) in self.cases.items():
            owner, _, name = identity.rpartition(".")
            if identity.endswith(")"):  # setUpClass (shop.tests.UserTest)
                name, _, owner = identity[:-1].partition(" (")
            head = "<testcase classname={} name={} time={}".format(
                *tuple(quoteattr(text) for text in (owner, name, f"{seconds:.4f}"))
            )
            if status == "passed":
                lines.append(head + "/>")
            else:
                text = message.replace("]]>", "]]]]><![CDATA[>")
                lines.append(head + f"><{status}><![CDATA[{text}]]></{status}></testcase>")
        lines.append("</testsuite></testsuites>\n")
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write("\n".join(lines))


_report = _Report()


def _words(error):
    return "".join(traceback.format_exception(*error))[-8000:]


def _recording(base):
    class Result(base):
        def startTest(self, test):
            _report.started[test.id()] = time.perf_counter()
            super().startTest(test)

        def addSuccess(self, test):
            _report.note(test, "passed")
            super().addSuccess(test)

        def addError(self, test, err):
            _report.note(test, "error", _words(err))
            super().addError(test, err)

        def addFailure(self, test, err):
            _report.note(test, "failure", _words(err))
            super().addFailure(test, err)

        def addSkip(self, test, reason):
            _report.note(test, "skipped", reason)
            super().addSkip(test, reason)

        def addSubTest(self, test, subtest, err):
            if err is not None:
                failed = issubclass(err[0], test.failureException)
                _report.note(test, "failure" if failed else "error", _words(err))
            super().addSubTest(test, subtest, err)

        def addExpectedFailure(self, test, err):
            _report.note(test, "passed")
            super().addExpectedFailure(test, err)

        def addUnexpectedSuccess(self, test):
            _report.note(test, "failure", "an expected failure passed")
            super().addUnexpectedSuccess(test)

    return Result


class Runner(_Own):
    def get_resultclass(self):
        found = super().get_resultclass() if hasattr(super(), "get_resultclass") else None
        return _recording(found or unittest.TextTestResult)

    def run_suite(self, suite, **kwargs):
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            if os.environ.get("BEDEV_JUNIT"):
                _report.write(os.environ["BEDEV_JUNIT"])
