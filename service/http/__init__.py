"""Routes, request parsing, responses and middleware: the only room that knows HTTP."""
