"""One worker process: a core, its sockets, a clock and a loop."""
