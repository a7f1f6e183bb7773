"""Rules of the local stack, without a stack."""
