"""The only place that opens traffic sockets."""
