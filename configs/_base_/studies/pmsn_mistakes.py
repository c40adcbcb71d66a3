# The small PMSN with a head that can be wrong on purpose; only studies/mistakes.py trains it.
_base_ = ['../../pmsn/pmsn_vit-mini_patterns-lt.py']
custom_imports = dict(
    imports=['mmssl_prior', 'mmssl_prior.study.mistakes'], allow_failed_imports=False
)
model = dict(head=dict(type='MistakenPMSNHead', parts=1, frozen_prototypes=False))
