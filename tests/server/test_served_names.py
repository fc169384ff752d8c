"""Under which names models are served."""

from __future__ import annotations

import pytest
from dreamenv_server.served_names import served_names

from dreamenv.errors import PackageError
from dreamenv.sources import ZOO, shipped


def test_all_shipped_ones_by_default():
    assert served_names(()) == {name: ZOO / name for name in shipped()}


def test_a_shipped_id_and_a_folder_under_their_own_names_or_others(tiny_folder):
    car = "Dream-CarRacing-v0"
    given = (car, str(tiny_folder), f"ours/car@2={car}", f"small={tiny_folder}")
    assert served_names(given) == {
        car: ZOO / car,
        "tiny": tiny_folder,
        "ours/car@2": ZOO / car,
        "small": tiny_folder,
    }


def test_a_folder_whose_name_has_an_equals_sign_is_a_folder(tiny_folder, tmp_path):
    odd = tmp_path / "seed=1"
    odd.symlink_to(tiny_folder)
    assert served_names((str(odd),)) == {"tiny": odd}


def test_two_of_the_same_name_are_refused_with_the_fix(tiny_folder):
    fix = f"'tiny' twice; name one of them otherwise: --model OTHER={tiny_folder}"
    with pytest.raises(ValueError, match=fix):
        served_names((str(tiny_folder), str(tiny_folder)))


@pytest.mark.parametrize("model", ["Dream-CarRacing-v1", "name=Dream-CarRacing-v1", "name=", ""])
def test_what_is_not_there_is_refused(model):
    with pytest.raises(PackageError):
        served_names((model,))


def test_a_folder_that_is_no_package_is_refused(tmp_path):
    with pytest.raises(PackageError, match=r"config\.json"):
        served_names((str(tmp_path),))
