"""A blind panel: which of two results would people keep?"""
