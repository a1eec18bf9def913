"""One file per schema version, oldest first; a version that was released is never edited."""
