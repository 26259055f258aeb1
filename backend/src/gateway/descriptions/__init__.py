"""The stream described for machines, from `signals/contract.py` and `goodbyes.py`."""
