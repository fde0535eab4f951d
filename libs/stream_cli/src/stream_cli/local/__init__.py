"""The local cloud: an AWS emulator, what it lacks, the services deployed to it, and the main job that proves it all."""
