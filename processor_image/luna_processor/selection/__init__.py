"""Which shots of a track are sent, and when: the documented filters and policies, without any I/O."""
