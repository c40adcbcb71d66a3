# The small PMSN whose prior goes to the prototypes in the order of their usage: an experiment.
_base_ = ['../../pmsn/pmsn_vit-mini_patterns-lt.py']
custom_imports = dict(
    imports=['mmssl_prior', 'mmssl_prior.study.sorted_matching'], allow_failed_imports=False
)
model = dict(head=dict(type='SortedPMSNHead'))
