"""One folder or file per platform, all behind the contract of `engines.engine`."""
