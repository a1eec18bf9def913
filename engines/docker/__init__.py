"""Docker hosts: containers, networks, volumes and images behind the engine contract."""
