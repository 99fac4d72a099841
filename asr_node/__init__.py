"""The speech node: one FunASR model behind an OpenAI-compatible HTTP interface."""
