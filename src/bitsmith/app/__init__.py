"""The local web page: calibrate, choose formats with their effect at once, validate, compare, export."""
