"""The user agent client: registrations kept alive (RFC 3261 8.1, 10.2, 17.1.2). Sans-IO."""
