"""The API of GitLab for one project, with state, limits and failures; no code of GitLab's."""
