"""What is behind the web page: the translation service, its queue, its cache of trajectories, its gallery."""
