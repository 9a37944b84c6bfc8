"""The harness below the conformance suite: it drives a subject, and looks at the host."""
