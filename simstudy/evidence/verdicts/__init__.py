"""From measures to a verdict: which standard error can be trusted; if not, why, and what cures it.

`rule` has the words and thresholds, `numbers` what they look at, `judging` the decisions, `reasons`
and `remedies` (with its table, `advice`) the causes and cures, `sentences` and `overview` the
words. The rule on paper, with the reason for every edge and how often it errs: `docs/verdicts.md`.
"""

from simstudy.evidence.verdicts.judging import verdicts
from simstudy.evidence.verdicts.overview import headline
from simstudy.evidence.verdicts.reasons import explain
from simstudy.evidence.verdicts.rule import RULE, Rule, Verdict

__all__ = ["RULE", "Rule", "Verdict", "explain", "headline", "verdicts"]
