import pytest

from benchmarks.zfs import rows as made
from benchmarks.zfs.rows import COMMAND, OURS, rows, sums


def row(told, part, other):
    (one,) = (one for one in told if part in one.name and one.other == other)
    return one


def test_a_step_is_held_to_half_of_the_best_round_of_all_steps_that_do_the_same(found):
    one = row(rows(found()), "make and mount", "ctr snapshots prepare, mount")
    assert (one.ours, one.theirs, one.bar, one.met) == (1.0, 4.5, 0.5, True)


def test_others_steps_that_do_less_than_ours_are_held_to_the_same_bar(found):
    told = rows(found())
    assert row(told, "make and mount", "ctr snapshots prepare alone").bar == 0.5
    assert row(told, "unmount", "containers-storage delete-container alone").bar == 0.5


def test_what_containerd_does_after_its_answer_only_informs(found):
    one = row(rows(found()), "unmount", "the same, until its dataset is destroyed")
    assert (one.theirs, one.bar) == (5.0, None)


def test_medians_and_what_is_left_without_starting_processes_are_shown_without_a_bar(found):
    told = rows(found())
    one = row(told, "make and mount", "ctr snapshots prepare, mount: medians")
    assert (one.ours, one.theirs, one.bar) == (pytest.approx(1.1), pytest.approx(5.25), None)
    one = row(told, "make and mount", "ctr snapshots prepare, mount: less its processes' starts")
    assert (one.theirs, one.bar) == (4.0, None)


def test_a_rest_that_is_none_is_not_compared(found):
    assert not [one for one in rows(found()) if one.other.startswith("containers-storage") and
                "less" in one.other]  # fmt: skip


def test_both_ways_to_zfs_are_side_by_side(found):
    told = rows(found())
    assert row(told, "make and mount", "the same by the zfs command").theirs == 2.0
    assert row(told, "unmount", "the same by the zfs command").theirs == 1.5


@pytest.mark.parametrize(("started", "met"), [(0, True), (1, False)])
def test_no_process_may_be_started_for_a_view(started, met, found):
    told = rows(found(processes={OURS: started, COMMAND: 3}))
    assert row(told, "processes", "1 processes").met is met


@pytest.mark.parametrize(("many", "met"), [([1.3, 9.0], True), ([1.4, 1.5], False)])
def test_a_pool_of_many_datasets_may_slow_a_step_by_three_tenths(many, met, found):
    told = rows(found(scale={"make a view": {"few": [1.0, 2.0], "many": many}}))
    one = row(told, "make a view, with 3,000 datasets", "the same with 30")
    assert (one.bar, one.met) == (1.3, met)


def test_the_bars_are_those_that_were_promised():
    assert (made.BAR, made.SCALE_BAR, made.LAYERS, made.FEW, made.MANY) == (0.5, 1.3, 20, 30, 3000)


def test_steps_are_added_round_by_round():
    assert sums({"a": [1.0, 2.0], "b": [0.5, 0.25]}, ("a", "b")) == [1.5, 2.25]
