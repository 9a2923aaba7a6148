"""The place of a hang or of an exception is the user's line, wherever the code came from."""

import traceback
from pathlib import Path

import cloudpickle
import numpy as np

from simstudy import load
from simstudy.estimators.protocol import describe
from simstudy.execution.dask_cluster import by_value
from simstudy.user_code.tracebacks import location

FILE = """
import numpy as np
from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.methods import OBSERVED


def draw(rng, n):
    def nested(matrix):
        return np.linalg.inv(matrix)

    return nested(np.zeros((n, n)))


MODEL = Model("mine", {"rate": "positive"}, lambda data: np.ones(1),
              lambda theta, data: np.log(theta[0]) - theta[0] * data)
STUDY = Study("mine", [Scenario(Mechanism("m", draw, lambda n: {"rate": 1.0}), {"n": 6})],
              [MaximumLikelihood(MODEL, [OBSERVED])])
"""


def raised(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_study_that_travelled_by_value_names_the_users_file_and_line(tmp_path):
    """Some versions of cloudpickle name the file of all code that they carry `<dynamic-code>`."""
    (tmp_path / "mine.py").write_text(FILE)
    study, _ = load(tmp_path / "mine.py")
    travelled = cloudpickle.loads(by_value(study))
    model = travelled.estimators[0].model
    for function in (travelled.scenarios[0].mechanism.draw, model.start, model.loglik):
        assert function.__code__.co_filename == str(tmp_path / "mine.py")
    draw = travelled.scenarios[0].mechanism.draw
    error = raised(lambda: draw(np.random.default_rng(1), 2))
    says = describe(error)
    assert says.startswith("LinAlgError: Singular matrix (nested, line 9 of mine.py; in _raise_")
    assert says.endswith("linalg.py)")


def test_a_place_is_the_users_innermost_line(tmp_path):
    """A folder of the user's may be called lib."""
    own, other = str(tmp_path / "lib" / "study.py"), np.linalg.__file__
    frames = [traceback.FrameSummary(*entry) for entry in ((own, 3, "f"), (other, 5, "inv"))]
    assert location(frames) == f"f, line 3 of study.py; in inv, line 5 of {Path(other).name}"
    assert location(frames[:1]) == "f, line 3 of study.py"
    assert location(frames[1:]) == f"inv, line 5 of {Path(other).name}"
    assert location([]) == ""
