"""What a denoising model does beside translation: generate, restore, judge typicality; and its calibration."""
