"""A PSP on your laptop, with books of its own and webhooks of a bad day; never imports the code it tests."""
