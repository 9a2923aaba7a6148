"""Make `estimates.csv`: one parameter with known truth, estimated by three correlated methods.

Scenario 1 (truth -0.5): near-normal estimates. Scenario 2 (truth 2): skewed estimates (exponential
errors), standard errors that depend on the estimate. `estimates_with_holes.csv`: ten estimates have
no standard error and five rows have no estimate at all.
"""

import numpy as np
import pandas as pd

rng = np.random.default_rng(20261120)
R, rows = 400, []
for scenario, truth in ((1, -0.5), (2, 2.0)):
    common = rng.normal(size=R) if scenario == 1 else rng.exponential(size=R) - 1
    for method, shift, own, scale in (
        ("A", 0.0, 0.3, 1.0),
        ("B", 0.04, 0.5, 0.85),
        ("C", -0.02, 0.8, 1.2),
    ):
        error = 0.2 * (common + own * rng.normal(size=R)) + shift
        estimate = truth + error
        spread = 0.2 * np.sqrt(1 + own**2) * scale
        slope = 0.3 * error / spread if scenario == 2 else 0
        se = spread * np.exp(0.1 * rng.normal(size=R) + slope)
        df = rng.integers(8, 40, size=R)
        for i in range(R):
            rows.append((scenario, i + 1, method, truth, estimate[i], se[i], df[i]))
columns = ["scenario", "replicate", "method", "truth", "estimate", "se", "df"]
table = pd.DataFrame(rows, columns=columns)
table["lower"] = table.estimate - 2.1 * table.se
table["upper"] = table.estimate + 1.9 * table.se
holes = table.copy()
missing_se = rng.choice(len(table), size=10, replace=False)
missing_all = rng.choice(np.setdiff1d(np.arange(len(table)), missing_se), size=5, replace=False)
holes.loc[missing_se, ["se", "lower", "upper"]] = np.nan
holes.loc[missing_all, ["estimate", "se", "lower", "upper"]] = np.nan
table.to_csv("estimates.csv", index=False, float_format="%.17g")
holes.to_csv("estimates_with_holes.csv", index=False, float_format="%.17g")
