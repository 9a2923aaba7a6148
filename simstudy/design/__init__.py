"""What a study is made of, and what is asked of it before work starts.

A mechanism draws data, a scenario fixes its factors, a study lists scenarios and estimators
(`definition` refuses contradictions), `loading` reads it from its file, `drawing` makes its data
sets. `checks` tries its code (`model_checks`, `curvature_sign` its likelihoods, `dependent_terms`,
`reproducibility` what methods take for granted); `information_equality` tests mechanisms against
likelihoods, and `findings` says what that means. Nothing here runs a study or keeps anything.
"""
