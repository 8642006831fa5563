"""Routes, request parsing, responses and middleware; the only room that imports Starlette."""
