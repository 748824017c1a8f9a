"""Slurm's settings that `hpcwatch doctor --site` judges, as a real Slurm prints them."""

from __future__ import annotations

from cluster.cluster import Cluster
from hpcwatch.cluster.schedulers.site_settings import OF_SLURM, read


def test_every_setting_is_printed_and_judged(slurm: Cluster) -> None:
    found = {one.wanted.name: one for one in read(slurm.said(*OF_SLURM.argv), OF_SLURM.wanted)}
    assert {name for name, one in found.items() if one.value is None} == set()
    accounting = found["AccountingStorageType"]
    assert accounting.value == "accounting_storage/slurmdbd"
    assert accounting.is_good
    assert found["JobAcctGatherParams"].value == "(null)"
    assert not found["JobAcctGatherParams"].is_good
