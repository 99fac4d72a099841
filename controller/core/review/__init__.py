"""People compare two versions' texts of the same recordings, without knowing whose is whose."""
