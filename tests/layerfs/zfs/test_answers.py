"""What the answers of the channel programs mean."""

from layerfs.zfs import answers
from layerfs.zfs.records import Facts, Obstacle, Property, Row, SnapshotFacts, SnapshotRow


def test_a_refusal_has_a_number_and_a_name():
    assert answers.refusal("!17 p/a@s") == (17, "p/a@s")
    assert answers.refusal("!2 p/a%20b") == (2, "p/a b")
    assert answers.refusal("") is None
    assert answers.refusal("d a 1 ~") is None


def test_more_than_a_page_is_a_count():
    assert answers.too_many("+3000") == 3000
    assert answers.too_many("d a 1 ~") is None
    assert answers.too_many("") is None


def test_properties_keep_their_order_and_their_source():
    asked = ["guid", "origin", "readonly", "quota", "a:b", "c:d", "canmount"]
    answer = "-1 ~;~ ~;on p/a;0 p;%C3%BC%3B%20%25 %24recvd;~ ~;noauto default"
    assert answers.properties(answer, "p/a", asked) == {
        "guid": Property("18446744073709551615", "-"),
        "origin": None,
        "readonly": Property("on", "local"),
        "quota": Property("0", "inherited from p"),
        "a:b": Property("ü; %", "received"),
        "c:d": None,
        "canmount": Property("noauto", "default"),
    }


def test_an_empty_value_is_not_a_missing_one():
    assert answers.properties(" p/a", "p/a", ["a:b"]) == {"a:b": Property("", "local")}
    assert answers.properties("", "p/a", []) == {}


def test_children_have_full_names():
    answer = (
        "d b -5 ~;p layerfs:x 1 p;s layer 7 2;c p/c;c p/other/d;s later 8 0;"
        "d c 9 p/b@layer;p layerfs:y %FF p/c;d odd%20name 10 ~"
    )
    layer = SnapshotRow("p/b@layer", 7, 2, ("p/c", "p/other/d"))
    assert answers.children(answer, "p") == [
        Row(
            "p/b",
            2**64 - 5,
            None,
            {"layerfs:x": Property("1", "inherited from p")},
            (layer, SnapshotRow("p/b@later", 8, 0, ())),
        ),
        Row("p/c", 9, "p/b@layer", {"layerfs:y": Property("\udcff", "local")}, ()),
        Row("p/odd name", 10, None, {}, ()),
    ]
    assert answers.children("", "p") == []


def test_facts_have_the_oldest_snapshot_first():
    answer = "d p/a -1 p/o@l;k p/a/k;s p/a@new 5 300;h tag%20x 12;s p/a@old 6 200;c p/c;c p/d"
    assert answers.facts(answer) == Facts(
        "p/a",
        2**64 - 1,
        "p/o@l",
        ("p/a/k",),
        (
            SnapshotFacts("p/a@old", 6, ("p/c", "p/d"), {}),
            SnapshotFacts("p/a@new", 5, (), {"tag x": 12}),
        ),
    )


def test_obstacles_are_sentences():
    answer = "p/a snapshot p/a@x;p/b hold t p/b@l;p/c clone p/d;p/c busy p/c;p/d bookmark p/d%23b"
    assert answers.obstacles(answer) == [
        Obstacle("p/a", "snapshot p/a@x"),
        Obstacle("p/b", "hold t on p/b@l"),
        Obstacle("p/c", "clone p/d"),
        Obstacle("p/c", "p/c is busy (mounted, or being sent or received)"),
        Obstacle("p/d", "bookmark p/d#b"),
    ]
    assert answers.obstacles("") == []
