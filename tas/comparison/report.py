"""Everything that a comparison shows, written into its directory."""

from dataclasses import asdict
from pathlib import Path

from tas.comparison.evidence import Evidence
from tas.comparison.figures import draw_curves, draw_pareto
from tas.comparison.methods import UNPRUNED
from tas.comparison.rank_correlation import pooled_rankings, rank_correlations
from tas.comparison.rows import Row, as_csv, as_json
from tas.comparison.scheduler import Outcome
from tas.comparison.statistics import Mean, means
from tas.comparison.structures import read_structures
from tas.comparison.tables import agreement_table, pooled_table, rank_table, sentence, table
from tas.config import SearchOptions
from tas.runs.files import write_text
from tas.runs.picture import save_picture
from tas.runs.results import CompareResult
from tas.runs.run import Run


def write_report(evidence: Evidence) -> str:
    """Write results, tables, figures and report.md, which has them all; metrics.json only if every run is finished.

    Returns:
        The table and the sentences, to print.
    """
    home, rows = Path(str(evidence.options.output)), evidence.rows
    summed = means(rows)
    write_text(home / "results.json", as_json(rows))
    write_text(home / "results.csv", as_csv(Row, rows))
    write_text(home / "structures.json", as_json(read_structures(evidence.jobs, home)))
    write_text(home / "table.json", as_json(summed))
    write_text(home / "table.csv", as_csv(Mean, summed))
    parts = [f"# {evidence.options.source.network} on {evidence.options.dataset.data}\n", made_by(evidence)]
    shown = ""
    if rows:
        accuracies = table(summed, evidence.apart())
        write_text(home / "table.md", accuracies)
        sentences = "".join(f"- {sentence(one)}\n" for one in evidence.differences())
        shown = "\n".join([accuracies, *([sentences] if sentences else [])])
        parts += [
            "Means and standard deviations over seeds.\n",
            shown,
            *([INTERVALS] if sentences else []),
            *starts(evidence),
        ]
    if any(row.method != UNPRUNED for row in evidence.comparable()):
        save_picture(draw_pareto(means(evidence.comparable())), home / "pareto.png")
        parts.append("![test accuracy against cost](pareto.png)\n")
    if searches := finished_searches(evidence):
        save_picture(draw_curves(searches, list(evidence.options.targets.amounts())), home / "curves.png")
        parts.append("![cost and confidence over the epochs of the searches](curves.png)\n")
    if evidence.agreements:
        parts += ["## Agreement of seeds\n", agreement_table(evidence.agreements), AGREEMENT]
    if ranked := rank_correlations(evidence.jobs):
        parts += ["## Rank correlation of the supernets\n", rank_table(ranked), RANK]
        pooled = pooled_rankings(ranked)
        if any(one.seeds > 1 for one in pooled):
            parts += [pooled_table(pooled), POOLED]
    if evidence.outcome.failed:
        parts += ["## Not finished\n", not_finished(evidence.outcome)]
    write_text(home / "report.md", "\n".join(parts))
    if not evidence.outcome.failed:
        compare_result(evidence).write(Run(home))
    return shown


INTERVALS = (
    "Differences are paired over seeds; the interval is Student's t with n - 1 degrees of freedom, each for itself: "
    "among many comparisons one in twenty excludes 0 by chance. It holds what other seeds would change, not what other "
    "test images would: an accuracy p on n of them has a standard error of sqrt(p (1 - p) / n), 0.5 points for 60 % of "
    "10,000.\n"
)


AGREEMENT = (
    "Distance: the mean, over the widths and depths that vary, of the gap as a share of the full count. A ratio near 1 "
    "means that the seeds agree no more than networks drawn at random do at the same cost. A small one does not say "
    "that they agree because of the data: the budget, equal elasticities and the cost loss may make them.\n"
)


STARTS = {
    "finetune": (
        "finetune is no equal start: searches from trained weights hand over their supernet's, those from random ones "
        "and the rules the unpruned network's best channels (but for --inherit), the other methods what they left of "
        "the unpruned network, which slimming, sss and autopruner trained on for --prune.epochs.\n"
    ),
    "init": (
        "init starts searches from their supernet, and every other method from the unpruned network's channels of the "
        "largest L1 norm, also where the method itself chose others.\n"
    ),
}
"""Way of training -> from what methods start in it."""


RANK = (
    "Kendall's tau between the supernet's validation loss, forced to each of several random networks of the same cost, "
    "and the validation accuracy of each trained alone: 1 is the same order, 0 none. Then accuracies: mean and best of "
    "the random networks, that of the network that was found, trained alike, and how many of them it beats.\n"
)


POOLED = (
    "Over seeds: the mean of tau, with the seeds' p-values combined by Stouffer's method; by how many points the found "
    "networks are better than the mean of the random ones, with Student's 95 % interval; how many of all they beat.\n"
)


def made_by(evidence: Evidence) -> str:
    """How the comparison was made, in a few lines."""
    options = evidence.options
    recipe = options.recipe
    unpruned = options.teacher_epochs or recipe.epochs
    apart = "" if unpruned == recipe.epochs else f" ({unpruned} of the unpruned network)"
    how = f"Trainings: {recipe.epochs} epochs{apart}, batches of {recipe.batch_size}, learning rate {recipe.lr:g}"
    seeds = ", ".join(map(str, options.seeds))
    lines = [
        f"`tas compare --config {options.output}/config.yaml --output ANOTHER` makes it again.",
        f"{how}; seeds {seeds}.",
        f"Times are by the clock, and runs at once slow one another down. This time: {evidence.machine}.",
    ]
    named = [commits for row in evidence.rows for commits in (row.commit, row.search_commit) if commits]
    commits = sorted({commit for commits in named for commit in commits.split(", ")})
    if len(commits) > 1:
        lines.append(f"Not all runs are by the same code: {', '.join(commits)}; results.json has those of each.")
    return "\n".join(lines) + "\n"


def starts(evidence: Evidence) -> list[str]:
    """What has to be known of the trainings that do not start from random weights, where there are any."""
    inherited = {row.training for row in evidence.rows}
    return [text for name, text in STARTS.items() if name in inherited]


def not_finished(outcome: Outcome) -> str:
    """What failed and why, and what was therefore not begun, as a list in Markdown."""
    failed = [f"- {name}: {error}\n" for name, error in outcome.failed.items()]
    return "".join([*failed, *(f"- {name}: needs one of these\n" for name in outcome.not_run)])


def finished_searches(evidence: Evidence) -> dict[str, list[Path]]:
    """What a curve stands for -> the folders of the finished searches, one a seed."""
    found: dict[str, list[Path]] = {}
    for job in evidence.jobs:
        if job.kind == "structure" and isinstance(job.options, SearchOptions) and job.run.finished():
            found.setdefault(f"{job.method} {job.aim.folder}", []).append(job.path)
    return found


def compare_result(evidence: Evidence) -> CompareResult:
    """The comparison as a record."""
    ranked = rank_correlations(evidence.jobs)
    return CompareResult(
        runs=len(evidence.jobs),
        machine=asdict(evidence.machine),
        differences=[asdict(one) | {"verdict": one.verdict} for one in evidence.differences()],
        rank_correlation=[asdict(one) for one in ranked],
        rank_correlation_pooled=[asdict(one) for one in pooled_rankings(ranked)],
        agreement=[asdict(one) | {"ratio": one.ratio} for one in evidence.agreements],
    )
