"""What every Python process of a container shares: how it talks to its host, and how it ends."""
