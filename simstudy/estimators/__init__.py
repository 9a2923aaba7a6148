"""What gives estimates: maximum likelihood, or anybody's function, behind one protocol.

`protocol` has what an estimator is asked and how its answers are looked at. Nothing here draws data
or knows a study.
"""

from simstudy.estimators.function import Answer, FunctionEstimator
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Draws, Estimator

__all__ = ["Answer", "Draws", "Estimator", "FunctionEstimator", "MaximumLikelihood"]
