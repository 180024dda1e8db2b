"""The local stack: every server and service of the shop as processes of one machine."""
