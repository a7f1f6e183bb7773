"""The pure parts of workflows, and the consumer of run events over stand-ins."""
