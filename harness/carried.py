"""What pytest's reports carry for us, from the processes that run cases to the one that reports.

Attributes of a ``TestReport``, which xdist brings along; their values are plain JSON values.
"""

from typing import Final

#: On the report of a set-up: who the case is, should its process die before there is a result.
BEGUN: Final = "conformance_begun"
#: On the report of a tear-down: the :class:`harness.results.CaseResult`.
CASE: Final = "conformance_case"
#: On some: what was done to have targets since the last, as pairs of a name and seconds.
STEPS: Final = "conformance_steps"
#: On one report of each process: the subject's version and the facts of the target.
RUN: Final = "conformance_run"
