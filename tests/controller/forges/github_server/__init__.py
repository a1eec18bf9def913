"""The API of GitHub for one repository, with state, limits and failures; no code of GitHub's."""
