"""Tests of the Proxmox VE engine, on the emulator in tests/proxmox."""
