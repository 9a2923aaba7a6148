"""What a study is made of, and what is asked of it before work starts.

Mechanisms, scenarios, the study, the checks. Nothing here runs a study or keeps anything.
"""
