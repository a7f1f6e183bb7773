"""What people read of a load test."""
