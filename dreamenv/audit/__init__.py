"""The gap report: a dream against the real env it was made from.

>>> from dreamenv.audit.report import audit  # doctest: +SKIP
>>> audit("Dream-CarRacing-v0", policy="policy.zip", out="audit").verdict.word  # doctest: +SKIP
'honest'
"""
