"""--round-to of the searches of a comparison: it goes to what they are compared with."""

from typing import Any

from tests.comparison.test_jobs import flat, jobs_of


def test_the_rules_round_widths_as_the_searches_do() -> None:
    methods = ("tas", "uniform", "balanced", "l1", "sss", "unstructured")

    def rounded(**options: Any) -> dict[str, int]:
        jobs = jobs_of(methods=methods, training=(), **options).values()
        return {job.method: flat(job)["round_to"] for job in jobs if job.kind == "structure"}

    assert set(rounded().values()) == {1}
    # The last two leave the widths as they are.
    eight = {"tas": 8, "uniform": 8, "balanced": 8, "l1": 8, "sss": 1, "unstructured": 1}
    assert rounded(search={"round-to": 8}) == eight
    assert rounded(search={"round_to": 8}, prune={"round_to": 4}) == {
        n: 4 if s == 8 else s for n, s in eight.items()
    } | {"tas": 8}
    alone = jobs_of(methods=("uniform",), search={"round_to": 8}).values()
    assert [flat(job)["round_to"] for job in alone if job.kind == "structure"] == [1]
