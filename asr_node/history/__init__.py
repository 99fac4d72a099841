"""Every recognition as a row, before its answer leaves."""
