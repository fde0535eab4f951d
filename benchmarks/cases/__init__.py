"""The cases of `npm run bench`, one module each."""
