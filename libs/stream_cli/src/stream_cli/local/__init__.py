"""The local cloud: an AWS emulator, what it lacks, the five services deployed to it, and the main job that proves they work."""
