"""Results as a run might have them."""

from harness.results import (
    CaseResult,
    Results,
    Selection,
    SubjectInfo,
    TargetInfo,
    conformance,
    summarise,
)


def case(id_="WHT-001", verdict="passed", **changes):
    fields = {
        "id": id_,
        "clause": id_.partition("[")[0],
        "level": "MUST",
        "profile": "core",
        "verdict": verdict,
        "duration_s": 0.1,
        "message": "",
        "area": "whiteouts",
        "requirement": "A whiteout hides.",
        "source": "image-spec layer.md",
        "reproduce": f"layerfs-conformance run --case {id_}",
    }
    return CaseResult.model_validate(fields | changes)


def results(*cases, profiles=("core",), **changes):
    selection = Selection(profiles=profiles)
    conformant, remarks = conformance(cases, selection)
    fields = {
        "subject": SubjectInfo(name="some", version="1", capabilities=("merge",)),
        "target": TargetInfo(name="local", kernel="6.1", uid_map=((0, 1000, 1),)),
        "selection": selection,
        "started": "2026-01-01T00:00:00+00:00",
        "duration_s": 1.5,
        "conformant": conformant,
        "remarks": remarks,
        "summary": summarise(cases),
        "cases": cases,
    }
    return Results(**fields | changes)
