"""Simmer's grader of mathematical answers: a thin server of simmer.grader.v1 around math-verify."""

__version__ = "0.1.0"
