"""FunASR's WebSocket protocol: modes offline, online and 2pass."""
