"""The conformance suite: clauses, the model that says what is right, and the cases."""
