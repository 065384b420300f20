"""xbuild: real labels in, a balanced, sealed and verifiable dataset out."""
