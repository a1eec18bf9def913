"""QEMU machines, containers and what belongs to them on a Proxmox VE cluster. Tasks, locks and digests are minded.
Facts about the API that its schema does not tell come from the sources of PVE 8.4 and 9."""
