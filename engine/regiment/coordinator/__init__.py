"""The coordinator: starts workers, hands out registrations, watches, exports metrics."""
