"""Picture files in and out: every decoding, conversion of color and write passes here."""

import warnings

# Pillow warns of large pictures, for which we have our own limit, and of odd metadata, which we read round. Not around
# the calls: warnings.catch_warnings is not safe in threads, and folders are read by several.
warnings.filterwarnings("ignore", module=r"PIL\.")
