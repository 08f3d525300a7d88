import pytest
from hypothesis import given
from hypothesis import strategies as st

from tas.config import CompareOptions, SearchOptions
from tas.config.amount import AMOUNTS, Amount
from tas.config.parsing import from_values, parse
from tas.errors import TasError


@pytest.mark.parametrize(
    ("text", "count", "written"),
    [
        ("40M", 40e6, "40M"),
        ("1.2G", 1.2e9, "1.2G"),
        ("500k", 5e5, "500k"),
        ("500K", 5e5, "500k"),
        ("1.1M", 1.1e6, "1.1M"),
        (".5M", 5e5, "500k"),
        ("40000 k", 40e6, "40M"),
        ("0.04G", 40e6, "40M"),
        ("0.5k", 500.0, "0.5k"),
        ("1.23456789M", 1234567.89, "1.23456789M"),
    ],
)
def test_a_number_with_a_unit_is_a_count(text: str, count: float, written: str) -> None:
    amount = Amount.read("flops_target", text)
    assert amount == Amount(count, absolute=True) and str(amount) == amount.given == written
    assert amount.cost(10**9) == count and amount.share(10**9) == count / 10**9


@given(st.floats(1e-6, 1))
def test_a_share_stays_the_number_that_it_is(share: float) -> None:
    amount = Amount.read("flops_target", share)
    assert amount.given == amount.share(12345) == share and amount.cost(12345) == share * 12345
    assert str(amount) == f"{share:g}"


@given(st.integers(1, 10**13))
def test_a_count_is_written_without_loss(thousandths: int) -> None:
    amount = Amount(float(thousandths), absolute=True)
    assert Amount.read("params_target", str(amount)) == amount


TEXTS = ("40Q", "40m", "40g", "40", "M", "-1M", "0M", "1e3M", "nanM", "1.2.3M", "40MB", "half", "", "1" * 400 + "G")


@pytest.mark.parametrize("given", [*TEXTS, 0.0, -0.5, 1.5, float("nan"), float("inf"), 40_000_000])
def test_anything_else_is_refused_in_a_line_that_names_the_flag(given: float | str) -> None:
    with pytest.raises(TasError) as error:
        SearchOptions.of(params_target=given)
    assert str(error.value) == f"--params-target is {given}; allowed: {AMOUNTS}"


def test_flags_and_yaml_take_shares_and_counts(tmp_path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("flops_target: 40M\nparams_target: 0.5\n", encoding="utf-8")
    target = parse("search", SearchOptions, ["--config", str(file)]).target
    assert (target.flops_target, target.params_target) == ("40M", 0.5)
    target = parse("search", SearchOptions, ["--flops-target", "0.5", "--params-target=1.5M"]).target
    assert (target.flops_target, target.params_target) == (0.5, "1.5M")
    for flags in (["--flops-targets", "[0.5,40M]"], ["--flops-targets", "0.5", "40M"], ["--flops-targets=0.5,40M"]):
        targets = parse("compare", CompareOptions, flags).targets
        assert targets.flops_targets == (0.5, "40M")
        assert targets.amounts() == {"flops": [Amount(0.5), Amount(40e6, absolute=True)]}
        assert targets.aims() == [{"flops": Amount(0.5)}, {"flops": Amount(40e6, absolute=True)}]
    with pytest.raises(TasError, match="--flops-targets is 40M, 40M; allowed: each value once"):
        CompareOptions.of(flops_targets=("40M", "40000k"))
    assert from_values("search", SearchOptions, {"flops_target": 1}).target.flops_target == 1.0
    for wrong in ([0.5], {"a": 1}, True):
        with pytest.raises(TasError, match=r"^--flops-target is .*a share above 0, at most 1, or a number with k"):
            from_values("search", SearchOptions, {"flops_target": wrong})
