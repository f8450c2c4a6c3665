"""Where everything stands: positions and paths for a scene, by our own algorithms."""
