"""Random recipes: whatever layers say, their stack and their merge are what the model says.

The examples are the same in every run; one that fails is shrunk to the smallest that still does.
"""

from hypothesis import HealthCheck, given, settings

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Layer
from conformance.recipes import stacks

APPLYING = "image-spec layer.md, Applying Changesets"
BELOW = Layer(Dir("a", mode=0o711), File("a/b"), Dir("b"), Dir("b/a"), File("b/a/b"), File("c"))

examples = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    # One store serves all examples: what one adds does not disturb another.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@clause("STK-030", MUST, APPLYING)
@examples
@given(layers=stacks(explicit=True))
def test_any_stack_is_what_the_model_says(subject, layers):
    """Any stack of any layers gives the tree that applying them one after the other gives."""
    assert subject.tree(*layers) == model.apply(*layers)


@clause("STK-031", SHOULD, f"{APPLYING}; PROTOCOL.md, 3.3 and 3.4")
@examples
@given(layers=stacks(explicit=False))
def test_any_stack_with_missing_directories_is_what_the_model_says(subject, layers):
    """The same holds where archives leave out the directories that their names pass through."""
    assert subject.tree(*layers) == model.apply(*layers)


@clause("MRG-009", MUST, f"PROTOCOL.md, merge; {APPLYING}", needs=("merge",))
@examples
@given(layers=stacks(explicit=True))
def test_any_merge_is_what_the_model_says(subject, layers):
    """Any merge gives its layers' tree, by itself and on top of other layers."""
    merged = subject.merge(*layers)

    assert subject.tree(merged) == model.apply(*layers)
    assert subject.tree(BELOW, merged) == model.apply(BELOW, *layers)
