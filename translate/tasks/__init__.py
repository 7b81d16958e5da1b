"""What models do beside translation: make, complete and judge pictures, or remove noise; and their calibration."""
