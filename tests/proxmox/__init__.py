"""A Proxmox VE API emulator: the official schema checks every call, this package answers it.

By hand: `python -m tests.proxmox --port 8006 --state DIR` (see `__main__`). In tests: `serving.Serving`.
"""
