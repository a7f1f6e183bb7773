"""A real headless Chromium for tests of pages, from an npm package; spoken to over its DevTools."""
