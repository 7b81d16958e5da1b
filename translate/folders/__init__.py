"""Whole folders of images: the plan, the run on one machine or on Ray, the report."""
