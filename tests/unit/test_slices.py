"""One broken slice is found, and a hundred sound ones are not accused by chance."""

import numpy as np

from orchestrator.validation.slices import Slices


def measured(**slices: list[float]) -> Slices:
    overlaps, slice_of = {}, {}
    for name, values in slices.items():
        for number, value in enumerate(values):
            overlaps[f"{name}-{number}"] = value
            slice_of[f"{name}-{number}"] = name
    found = Slices.of("tenant", slice_of, overlaps)
    assert found is not None
    return found


def test_a_broken_slice_is_a_fault_though_the_mean_is_fine() -> None:
    generator = np.random.default_rng(0)
    sound = generator.uniform(0.2, 0.6, 380).tolist()
    found = measured(sound=sound, broken=[0.0] * 18 + [0.1] * 7, few=[0.0] * 5)
    assert [one.name for one in found.measured] == ["'broken'", "'sound'"]
    assert found.too_small == 1
    (finding,) = found.findings(floor=0.1)
    assert (finding.id, finding.severity) == ("slice", "fault")
    assert finding.what.startswith("the documents with tenant = 'broken' have a mean overlap of 0.028")


def test_a_slice_that_is_only_worse_is_a_warning() -> None:
    generator = np.random.default_rng(0)
    found = measured(
        most=generator.uniform(0.4, 0.8, 400).tolist(), worse=generator.uniform(0.2, 0.4, 40).tolist()
    )
    (finding,) = found.findings(floor=0.1)
    assert finding.severity == "warning"


def test_a_hundred_sound_slices_are_seldom_accused() -> None:
    """Each of a hundred tables has forty slices that differ by chance alone."""
    generator = np.random.default_rng(3)
    accused = 0
    for _ in range(100):
        slices = {f"s{n}": generator.beta(2, 4, 25).tolist() for n in range(40)}
        accused += any(measured(**slices).findings(floor=0.1))
    assert accused <= 12


def test_documents_without_a_value_are_a_slice_of_their_own() -> None:
    found = Slices.of("tenant", {}, {str(n): 0.5 for n in range(30)})
    assert found is not None
    assert found.measured[0].name == "NULL"
    assert Slices.of("tenant", {}, {}) is None
