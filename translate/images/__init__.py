"""Image files in and out: every decoding, conversion of color and write passes here."""
