"""The container image: built as `make image` builds it, on a Debian made here, and run as locked down as can be."""
