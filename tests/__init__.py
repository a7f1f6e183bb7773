"""Unit (no socket), contract (one suite over each implementation), integration, workflows and chaos."""
