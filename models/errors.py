"""Errors that people can act on. Each message is one plain sentence."""

from __future__ import annotations


class BadModel(ValueError):
    """A model that cannot be had or used."""


class Diverged(ArithmeticError):
    """Training blew up again and again, whatever state it went back to."""
